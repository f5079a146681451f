"""Contenders run on the same filled topic in turn: how fast each gets from its first mark to its last."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol
from uuid import uuid4

import click
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.bed import COMMAND, PARTITIONS, Bed, Running, running
from benchmarks.load import Load

PATIENCE_SECONDS = 900


class Contender(Protocol):
    """Reads a topic and writes each flag to another, as JSON with the transaction's id in `id`."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    async def prepare(self, bed: Bed, run: str) -> None:
        """Make what the run needs beside its output topic."""

    def start(self, bed: Bed, load: Load, run: str) -> AbstractContextManager[Running]:
        """Start it on the load, its flags going to `output_of(run)`."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One run: transactions a second, CPU microseconds a transaction, resident bytes at the end."""

    rate: float
    cpu_microseconds: float
    memory_bytes: int


def output_of(run: str) -> str:
    """The topic of a run's flags."""
    return f"{run}.anomalies"


async def race(bed: Bed, load: Load, contenders: Sequence[Contender], rounds: int) -> dict[str, list[Lap]]:
    """Every contender once a round, in turn, so that a slow spell of the machine meets them all."""
    laps: dict[str, list[Lap]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            lap = await _lap(bed, load, contender)
            laps[contender.name].append(lap)
            click.echo(f"  {contender.name}: {lap.rate:,.0f}/s, {lap.cpu_microseconds:.1f} us of CPU each")
    return laps


def rate_of(laps: Sequence[Lap]) -> float:
    """The median rate."""
    return median(lap.rate for lap in laps)


async def _lap(bed: Bed, load: Load, contender: Contender) -> Lap:
    run = f"run{uuid4().hex[:10]}"
    # The broker's clock stamps each flag when it arrives, whoever writes it.
    await bed.create_topics(output_of(run), **{"message.timestamp.type": "LogAppendTime"})
    await contender.prepare(bed, run)
    with contender.start(bed, load, run) as process:
        first, last = await asyncio.wait_for(_marks(bed, load, run, process), PATIENCE_SECONDS)
        cpu, memory = process.cpu_seconds(), process.memory_bytes()
    return Lap(load.count / (last - first), cpu / load.count * 1e6, memory)


async def _marks(bed: Bed, load: Load, run: str, process: Running) -> tuple[float, float]:
    """When the first of the first marks and the last of the last ones arrived, in seconds."""
    stamps: dict[str, float] = {}
    async with AIOKafkaConsumer(
        bootstrap_servers=bed.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        partitions = [TopicPartition(output_of(run), number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        while not load.last <= stamps.keys():
            process.check()
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    stamps.setdefault(msgspec.json.decode(record.value)["id"], record.timestamp / 1000)
    return min(stamps[mark] for mark in load.first), max(stamps[mark] for mark in load.last)


@dataclass(frozen=True, slots=True)
class Txnwatch:
    """Our worker; `settings` go over those of a whole installation."""

    name: str
    settings: Mapping[str, str]

    async def prepare(self, bed: Bed, run: str) -> None:
        """Its topics; its database is made at the start."""
        await bed.create_topics(f"{run}.scored", f"{run}.dlq")
        await bed.create_topics(f"{run}-windows-changelog", **{"cleanup.policy": "compact"})
        (bed.folder / f"{run}.url").write_text(await bed.database())

    def start(self, bed: Bed, load: Load, run: str) -> AbstractContextManager[Running]:
        """The worker as an operator starts it."""
        environment = {
            **bed.addresses.as_env(),
            "POSTGRES_URL": (bed.folder / f"{run}.url").read_text(),
            "TXNWATCH_APP_ID": run,
            "TXNWATCH_TRANSACTIONS_TOPIC": load.topic,
            "TXNWATCH_SCORED_TOPIC": f"{run}.scored",
            "TXNWATCH_ANOMALIES_TOPIC": output_of(run),
            "TXNWATCH_DLQ_TOPIC": f"{run}.dlq",
            "TXNWATCH_DATADIR": str(bed.folder / run),
            "TXNWATCH_WEB_PORT": str(_port()),
            **self.settings,
        }
        return running([COMMAND, "worker", "--loglevel", "WARNING"], environment, _log(bed, run))


def _log(bed: Bed, run: str) -> Path:
    return bed.folder / f"{run}.log"


def _port() -> int:
    return 20_000 + time.monotonic_ns() % 20_000
