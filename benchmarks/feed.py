"""A paced input to a fresh installation."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.arrivals import next_offsets
from benchmarks.bed import PARTITIONS, Bed, free_port, new_run
from benchmarks.contenders import TXNWATCH, prepare, worker
from benchmarks.environments import ROOT
from benchmarks.paced import message
from benchmarks.process import Command, Running, running
from benchmarks.race import output_of
from benchmarks.schedule import Schedule, home, user_id

READY_SECONDS = 60
OTHERS = 1 << 16  # users from here on are none of a schedule's


def input_of(run: str) -> str:
    """The topic of a run's transactions."""
    return f"{run}.transactions"


@asynccontextmanager
async def worker_and_api(bed: Bed) -> AsyncIterator[tuple[str, dict[str, str], Running]]:
    """A run's name, settings and processes; each partition has been sent a transaction. Ended on leaving."""
    run = new_run()
    await bed.create_topics(input_of(run), output_of(run))
    try:
        environment = await prepare(bed, input_of(run), run) | {"TXNWATCH_API_PORT": str(free_port())}
        api = Command([TXNWATCH, "api"], environment, bed.scratch(run) / "api.log")
        with running(worker(bed, run, environment), api) as installation:
            async with asyncio.timeout(READY_SECONDS):
                await prime(bed, run)
            yield run, environment, installation
    finally:
        await bed.clean(run)


def paced(bed: Bed, run: str, schedule: Schedule, start: float) -> Command:
    """The producer that keeps the schedule from `start` on the monotonic clock."""
    arguments = [input_of(run), str(schedule.rate), str(schedule.seconds), str(start)]
    environment = {"PYTHONPATH": str(ROOT), "PEER_KAFKA": bed.kafka}
    log = bed.scratch(run) / "paced.log"
    return Command([sys.executable, "-m", "benchmarks.paced", *arguments], environment, log)


def resident(partition: int) -> str:
    """A user whose home is the partition, and who is in no schedule."""
    return next(user for user in map(user_id, count(OTHERS)) if home(user) == partition)


async def prime(bed: Bed, run: str) -> None:
    """Send a transaction of its `resident` to each partition."""
    async with AIOKafkaProducer(bootstrap_servers=bed.kafka) as producer:
        for partition in range(PARTITIONS):
            user = resident(partition)
            value = message(user.replace("-9000-", "-a000-"), user, "2025-01-01T00:00:00Z")
            await producer.send_and_wait(input_of(run), value, key=user.encode(), partition=partition)


async def when_primed(connection: asyncpg.Connection, installation: Running) -> list[int]:
    """The next offset of each partition once the worker has stored a transaction of each."""
    async with asyncio.timeout(READY_SECONDS):
        while min(offsets := await next_offsets(connection)) < 1:
            installation.check()
            await asyncio.sleep(0.1)
    return offsets
