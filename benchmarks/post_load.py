"""Clients that post transactions when they are due, over connections that stay; prints what they saw.

`python -m benchmarks.post_load PORT RATE SECONDS WAIT`, with an empty WAIT for none. An open loop: latency
counts from when a transaction is due, also where no connection is free. Of answers the heads alone are read:
the server is what is measured.
"""

import asyncio
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import msgspec
import uvloop

from benchmarks.arrivals import WARM_UP_SECONDS
from benchmarks.paced import TICK_SECONDS, message
from benchmarks.schedule import Schedule, percentile, transaction_id

CONNECTIONS = 200
DONE_SECONDS = 30
_STATUS = slice(9, 12)


class Posted(msgspec.Struct, frozen=True):
    """Milliseconds from due to the answer, the warm-up left out, and how many answers had which status.

    `cpu` is added by who knows the server: its processor time of one answer, in microseconds.
    """

    p50: float
    p99: float
    p999: float
    highest: float
    statuses: dict[str, int]
    cpu: float | None = None


@dataclass(slots=True)
class Run:
    """All that is posted, and the connections that nothing is asked on."""

    path: str
    schedule: Schedule
    start: float
    free: "deque[Client]" = field(default_factory=deque)
    waiting: deque[int] = field(default_factory=deque)
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    missing: int = 0

    def request(self, number: int) -> bytes:
        """What is posted."""
        body = message(transaction_id(number), self.schedule.user(number), datetime.now(UTC).isoformat())
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return b"%bContent-Length: %d\r\n\r\n%b" % (head.encode(), len(body), body)

    def post(self, number: int) -> None:
        """Post it on a free connection, or as soon as there is one."""
        if self.free:
            self.free.popleft().ask(number)
        else:
            self.waiting.append(number)

    def answered(self, client: "Client", number: int, status: str) -> None:
        """Take the time, and use the connection for the next."""
        due = self.schedule.due(number)
        if due >= WARM_UP_SECONDS:
            self.milliseconds.append(1000 * (time.monotonic() - self.start - due))
            self.statuses[status] = self.statuses.get(status, 0) + 1
        self.missing -= 1
        self.free.append(client)
        if self.waiting:
            self.free.pop().ask(self.waiting.popleft())


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._number = 0
        self._head, self._status = b"", ""
        self._missing: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is free."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are, but do not say so
        self._run.free.append(self)

    def ask(self, number: int) -> None:
        """Post a transaction."""
        self._number, self._head, self._missing = number, b"", None
        self._transport.write(self._run.request(number))

    def data_received(self, data: bytes) -> None:
        """Free again once the whole answer is there."""
        if self._missing is None:
            self._head += data
            head, found, body = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._status = head[_STATUS].decode()
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self._missing = length - len(body)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._run.answered(self, self._number, self._status)


async def _measure(port: int, schedule: Schedule, wait: str) -> Posted:
    run = Run(f"/transactions{f'?wait={wait}' if wait else ''}", schedule, time.monotonic() + 1)
    run.missing = schedule.count
    loop, posted = asyncio.get_running_loop(), 0
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Client(run), "127.0.0.1", port)
    while posted < schedule.count:
        elapsed = time.monotonic() - run.start
        due = schedule.due_by(elapsed) if elapsed >= 0 else 0
        for number in range(posted, due):
            run.post(number)
        posted = max(posted, due)
        await asyncio.sleep(TICK_SECONDS)
    async with asyncio.timeout(DONE_SECONDS):
        while run.missing:  # noqa: ASYNC110 - counted by connections
            await asyncio.sleep(0.05)
    times = sorted(run.milliseconds)
    p50, p99, p999, highest = (percentile(times, percent) or 0.0 for percent in (50, 99, 99.9, 100))
    return Posted(p50, p99, p999, highest, run.statuses)


def main() -> None:
    """Measure, and print it as JSON."""
    port, rate, seconds, wait = sys.argv[1:]
    seen = uvloop.run(_measure(int(port), Schedule(int(rate), float(seconds)), wait))
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")


if __name__ == "__main__":
    main()
