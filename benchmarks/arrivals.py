"""When transactions arrived: as rows in Postgres, as events at a browser."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import asyncpg
import msgspec

from benchmarks.bed import PARTITIONS
from benchmarks.schedule import Schedule, number_of

WARM_UP_SECONDS = 4
POLL_SECONDS = 0.003


@dataclass(slots=True)
class Arrivals:
    """When each transaction arrived, by its number, on the monotonic clock."""

    schedule: Schedule
    start: float = 0.0
    rows: dict[int, float] = field(default_factory=dict)
    events: dict[int, float] = field(default_factory=dict)

    def latencies(self, arrived: dict[int, float]) -> list[float]:
        """Ascending milliseconds from when each was due to its arrival, without the warm-up's."""
        due = ((number, self.schedule.due(number)) for number in arrived)
        counted = ((number, at) for number, at in due if at >= WARM_UP_SECONDS)
        return sorted(1000 * (arrived[number] - self.start - at) for number, at in counted)

    def expected(self, *, probes_only: bool) -> int:
        """How many there are to arrive after the warm-up."""
        numbers = range(self.schedule.count)
        counted = [number for number in numbers if self.schedule.due(number) >= WARM_UP_SECONDS]
        return sum(map(self.schedule.is_probe, counted)) if probes_only else len(counted)

    @property
    def complete(self) -> bool:
        """Whether all have arrived, the warm-up's too."""
        probes = sum(map(self.schedule.is_probe, range(self.schedule.count)))
        return len(self.rows) == self.schedule.count and len(self.events) == probes


async def next_offsets(connection: asyncpg.Connection) -> list[int]:
    """The next offset of each partition, 0 where nothing has been stored."""
    found = dict(await connection.fetch("SELECT partition, next_offset FROM sink_offsets"))
    return [found.get(partition, 0) for partition in range(PARTITIONS)]


async def watch_rows(
    connection: asyncpg.Connection, arrivals: Arrivals, offsets: list[int], numbers: Sequence[Sequence[int]]
) -> None:
    """Take the time when each partition's next offset has passed a transaction: it commits with the row.

    `numbers` has those that go to each partition, in their order.
    """
    waiting = [iter(each) for each in numbers]
    while True:
        now_at = await next_offsets(connection)
        now = time.monotonic()
        for partition, (former, offset) in enumerate(zip(offsets, now_at, strict=True)):
            for _ in range(offset - former):
                arrivals.rows[next(waiting[partition])] = now
        offsets = now_at
        await asyncio.sleep(POLL_SECONDS)


@contextlib.asynccontextmanager
async def event_stream(client: aiohttp.ClientSession, user: str) -> AsyncIterator[aiohttp.StreamReader]:
    """A user's event stream that has begun."""
    async with client.get(f"/sse/transactions/{user}") as response:
        response.raise_for_status()
        await response.content.readline()
        yield response.content


async def watch_events(stream: aiohttp.StreamReader, arrivals: Arrivals) -> None:
    """Take the time of each of a stream's events."""
    while line := await stream.readline():
        if line.startswith(b"data:"):
            now = time.monotonic()
            number = number_of(msgspec.json.decode(line[5:], type=_Event).id)
            if number is not None:
                arrivals.events.setdefault(number, now)
    raise ConnectionError("the API ended a stream")


class _Event(msgspec.Struct):
    id: str = ""
    """Of a transaction; a stream's own events have none."""
