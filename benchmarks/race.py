"""Contenders run on the same filled topic in turn: how fast each gets from its first mark to its last."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import asyncpg
import click
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.bed import PARTITIONS, Bed, new_run
from benchmarks.environments import UnavailableError
from benchmarks.load import Load, Loads
from benchmarks.process import Running

PATIENCE_SECONDS = 900
POLL_SECONDS = 0.02
STRAGGLERS_SECONDS = 10


class WrongFlagsError(Exception):
    """A contender's flags are not those of the rule."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One run: transactions a second, CPU microseconds a transaction, the most resident bytes seen."""

    rate: float
    cpu_microseconds: float
    memory_bytes: int


@dataclass(slots=True)
class Standing:
    """A contender's laps on a topic of `count` transactions; `failure` says why there are no more."""

    name: str
    count: int
    laps: list[Lap] = field(default_factory=list)
    failure: str | None = None

    @property
    def rate(self) -> float | None:
        """The median rate, None where there is no lap."""
        return median(lap.rate for lap in self.laps) if self.laps else None

    @property
    def cpu_microseconds(self) -> float | None:
        """The median CPU time a transaction."""
        return median(lap.cpu_microseconds for lap in self.laps) if self.laps else None

    @property
    def memory_bytes(self) -> int | None:
        """The most memory of all laps."""
        return max(lap.memory_bytes for lap in self.laps) if self.laps else None


class Contender(Protocol):
    """Something that takes a topic's transactions in."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def at_most(self) -> int | None:
        """How many transactions it gets at the most, for a slow one; rates are what is compared."""

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """Run it once. Flags go to `output_of(run)`, as JSON with the transaction's id in `id`.

        Raises UnavailableError where it cannot run at all.
        """


def output_of(run: str) -> str:
    """The topic of a run's flags."""
    return f"{run}.anomalies"


async def race(
    loads: Loads, contenders: Sequence[Contender], *, count: int, users: int, rounds: int, full: bool = False
) -> dict[str, Standing]:
    """Every contender once a round, in turn, so that a slow spell of the machine meets them all.

    One that gets fewer transactions gets them of fewer users in proportion: windows are as full.
    """
    counts = {contender.name: min(count, contender.at_most or count) for contender in contenders}
    standings = {name: Standing(name, count) for name, count in counts.items()}
    for _ in range(rounds):
        for contender in contenders:
            standing = standings[contender.name]
            if standing.failure is None:
                load = await loads.of(standing.count, max(1, users * standing.count // count), full=full)
                await _lap(loads.bed, load, contender, standing)
    return standings


async def _lap(bed: Bed, load: Load, contender: Contender, standing: Standing) -> None:
    """Add a lap, or the reason why there is none."""
    run = new_run()
    # The broker's clock stamps each flag when it arrives, whoever writes it.
    await bed.create_topics(output_of(run), **{"message.timestamp.type": "LogAppendTime"})
    try:
        lap = await contender.lap(bed, load, run)
    except UnavailableError as error:
        standing.failure = f"skipped: {error}"
    except Exception as error:  # noqa: BLE001 - whatever one contender fails of, the others go on
        standing.failure = f"failed: {reason(error)}"
    else:
        standing.laps.append(lap)
        click.echo(f"  {contender.name}: {lap.rate:,.0f}/s, {lap.cpu_microseconds:.1f} us of CPU each")
    finally:
        await bed.clean(run)
    if standing.failure:
        click.echo(f"  {contender.name} {standing.failure}", err=True)


def reason(error: BaseException) -> str:
    """What went wrong, of a group of errors what went wrong first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


async def timed(bed: Bed, load: Load, run: str, process: Running, *, rows: str | None = None) -> Lap:
    """Watch a contender from its first flag to its last, or to its last row in the database `rows`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        watch = Watch(process)
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(watch.sample())
            marks = group.create_task(_marks(bed, load, run, watch))
            stored = group.create_task(_stored(rows, load, process)) if rows else None
            first, last = await marks
            if stored is not None:
                last = max(last, await stored)
            sampling.cancel()
    return Lap(load.count / (last - first), watch.cpu_seconds() / load.count * 1e6, watch.memory_bytes)


@dataclass(slots=True)
class Watch:
    """Samples a contender's memory, and its CPU time since its first flag."""

    process: Running
    memory_bytes: int = 0
    started_at: float | None = None

    async def sample(self) -> None:
        """Until cancelled."""
        while True:
            self.memory_bytes = max(self.memory_bytes, self.process.memory_bytes())
            await asyncio.sleep(0.5)

    def start(self) -> None:
        """Count CPU time from here, if not already."""
        if self.started_at is None:
            self.started_at = self.process.cpu_seconds()

    def cpu_seconds(self) -> float:
        """CPU time since `start`."""
        return self.process.cpu_seconds() - (self.started_at or 0)


async def _marks(bed: Bed, load: Load, run: str, watch: Watch) -> tuple[float, float]:
    """When the first of the first marks and the last of the last ones arrived, in seconds.

    Raises WrongFlagsError unless the flags are as many as the rule gives: a contender does the same job as
    the others or is not compared with them.
    """
    stamps: dict[str, float] = {}
    async with AIOKafkaConsumer(
        bootstrap_servers=bed.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        consumer.assign([TopicPartition(output_of(run), number) for number in range(PARTITIONS)])

        async def collect() -> None:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                watch.start()
                for record in records:
                    stamps.setdefault(msgspec.json.decode(record.value)["id"], record.timestamp / 1000)

        while not load.last <= stamps.keys():
            await collect()
        with suppress(TimeoutError):
            async with asyncio.timeout(STRAGGLERS_SECONDS):
                while len(stamps) < load.flags:
                    await collect()
    if load.flags and len(stamps) != load.flags:
        raise WrongFlagsError(f"flagged {len(stamps):,} transactions where {load.flags:,} are to be flagged")
    return min(stamps[mark] for mark in load.first), max(stamps[mark] for mark in load.last)


async def _stored(url: str, load: Load, process: Running) -> float:
    """When the rows of the last marks are all in the database."""
    query = "SELECT count(*) FROM transactions WHERE id = ANY($1::uuid[])"
    connection = await asyncpg.connect(url)
    try:
        while await connection.fetchval(query, list(load.last)) < len(load.last):
            process.check()
            await asyncio.sleep(POLL_SECONDS)
        return time.time()
    finally:
        await connection.close()
