"""How long after a worker is killed the rows come again."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import asyncpg

from benchmarks.arrivals import next_offsets
from benchmarks.bed import PARTITIONS, Bed, new_run
from benchmarks.contenders import prepare, worker
from benchmarks.feed import input_of, paced, prime, when_primed
from benchmarks.process import Running, running
from benchmarks.race import output_of
from benchmarks.schedule import Schedule

RATE = 1_000
BEFORE_SECONDS = 4
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Gap:
    """Seconds from SIGKILL to the first new row, and until every partition had one."""

    first: float
    every: float


async def restarted(bed: Bed) -> Gap:
    """The only worker is killed and started again at once, on its data folder."""
    return await _fail(bed, workers=1)


async def taken_over(bed: Bed) -> Gap:
    """One of two workers is killed and stays away."""
    return await _fail(bed, workers=2)


async def _fail(bed: Bed, workers: int) -> Gap:
    run = new_run()
    await bed.create_topics(input_of(run), output_of(run))
    try:
        environment = await prepare(bed, input_of(run), run)
        commands = [worker(bed, run, environment, number) for number in range(workers)]
        connection = await asyncpg.connect(environment["POSTGRES_URL"])
        try:
            with ExitStack() as stack:
                victim = stack.enter_context(running(commands[0]))
                others = [stack.enter_context(running(command)) for command in commands[1:]]
                await _warm_up(bed, run, connection, victim, stack)
                victim.kill()
                killed = time.monotonic()
                if not others:
                    others = [stack.enter_context(running(commands[0]))]
                return await _gap(connection, killed, others)
        finally:
            await connection.close()
    finally:
        await bed.clean(run)


async def _warm_up(
    bed: Bed, run: str, connection: asyncpg.Connection, victim: Running, stack: ExitStack
) -> None:
    """Let rows come at a steady rate for a while, and go on coming."""
    await prime(bed, run)
    await when_primed(connection, victim)
    schedule = Schedule(RATE, BEFORE_SECONDS + PATIENCE_SECONDS)
    stack.enter_context(running(paced(bed, run, schedule, time.monotonic())))
    await asyncio.sleep(BEFORE_SECONDS)


async def _gap(connection: asyncpg.Connection, killed: float, others: list[Running]) -> Gap:
    """Watch each partition's next offset go on from where it stood after the kill."""
    stood = await next_offsets(connection)
    advanced: dict[int, float] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(advanced) < PARTITIONS:
            await asyncio.sleep(POLL_SECONDS)
            for process in others:
                process.check()
            now_at = await next_offsets(connection)
            seconds = time.monotonic() - killed
            for partition in range(PARTITIONS):
                if now_at[partition] > stood[partition]:
                    advanced.setdefault(partition, seconds)
    return Gap(min(advanced.values()), max(advanced.values()))
