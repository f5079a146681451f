"""`taking_hold`: from when a rule set is sent to the API to the first verdict by it."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Self

import aiohttp
import asyncpg
import click
from aiokafka import AIOKafkaConsumer

from benchmarks.bed import Bed
from benchmarks.feed import READY_SECONDS, paced, when_primed, worker_and_api
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.process import Running, running
from benchmarks.result import Column, Figure, Result
from benchmarks.schedule import Schedule, percentile
from schemas.scored import RULE_HEADER

RATE = 5_000
EACH_SECONDS = 1.0
WARM_UP_SECONDS = 3
_SPARE = 5
DETECTORS = ("odds", "rolling_mean")
COLUMNS = [
    Column("until", "until"),
    Column("p50", "p50 ms", ",.0f"),
    Column("p99", "p99 ms", ",.0f"),
    Column("highest", "highest", ",.0f"),
    Column("samples", "samples"),
]
METHOD = (
    "Two rule sets in turn, one a second, each by `PUT /rules`. The time begins with the request, and ends "
    "with its answer (the decision is kept and on the control topic), with the first message on the scored "
    "topic that names the new rule, in any partition and in the last of all four."
)


async def taking_hold(loads: Loads, options: Options) -> Result:
    """One installation, with five rule sets for each of the options' seconds."""
    count = int(5 * options.seconds)
    waits = await _run(loads.bed, count)
    rows = [
        {
            "until": until,
            "p50": percentile(found, 50),
            "p99": percentile(found, 99),
            "highest": percentile(found, 100),
            "samples": len(found),
        }
        for until, found in waits.items()
    ]
    for row in rows:
        click.echo(f"  {row['until']}: p50 {row['p50']:,.0f} ms, p99 {row['p99']:,.0f} ms")
    first = percentile(waits["first verdict"], 99)
    return Result(
        name="taking_hold",
        title="from a rule set's PUT to verdicts by it; one worker, one API",
        setting=f"{RATE:,} transactions/s, {count} rule sets, 4 partitions, lz4",
        columns=COLUMNS,
        rows=list(rows),
        figures=[Figure("rule saved to first verdict, p99", first, 2000, 500, unit="ms", better="less")],
        notes=[METHOD],
    )


async def _run(bed: Bed, count: int) -> dict[str, list[float]]:
    async with worker_and_api(bed) as (run, environment, installation):
        return await _observe(bed, run, environment, installation, count)


async def _observe(
    bed: Bed, run: str, environment: dict[str, str], installation: Running, count: int
) -> dict[str, list[float]]:
    # It is stopped at the end: how long the answers take is not known beforehand.
    schedule = Schedule(RATE, WARM_UP_SECONDS + _SPARE * (count + 1) * EACH_SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        connection = await asyncpg.connect(environment["POSTGRES_URL"])
        stack.push_async_callback(connection.close)
        await when_primed(connection, installation)
        url = f"http://127.0.0.1:{environment['TXNWATCH_API_PORT']}"
        client = await stack.enter_async_context(aiohttp.ClientSession(url))
        verdicts = await stack.enter_async_context(_Verdicts(bed.kafka, environment["TXNWATCH_SCORED_TOPIC"]))
        stack.enter_context(running(paced(bed, run, schedule, time.monotonic() + 1.5)))
        await asyncio.sleep(1.5 + WARM_UP_SECONDS)
        waits: dict[str, list[float]] = {"answer": [], "first verdict": [], "all partitions": []}
        for number, detector in zip(range(count), cycle(DETECTORS), strict=False):
            began = time.monotonic()
            await _put(client, detector, number)
            waits["answer"].append(1000 * (time.monotonic() - began))
            for until, partitions in (("first verdict", 1), ("all partitions", 4)):
                waits[until].append(1000 * (await verdicts.changed(number, partitions) - began))
            installation.check()
            await asyncio.sleep(max(0.0, began + EACH_SECONDS - time.monotonic()))
        return {until: sorted(found) for until, found in waits.items()}


async def _put(client: aiohttp.ClientSession, detector: str, seen: int) -> None:
    tag = {"If-Match": f'"{seen}"'}
    async with client.put("/rules", json={"detector": detector}, headers=tag) as response:
        made = await response.json()
        if not made.get("published"):
            raise RuntimeError(f"not decided or not published: {made}")


class _Verdicts:
    """When each partition of the scored topic first named another rule than before."""

    def __init__(self, kafka: str, topic: str) -> None:
        options = {"bootstrap_servers": kafka, "isolation_level": "read_committed"}
        self._consumer = AIOKafkaConsumer(topic, auto_offset_reset="latest", fetch_max_wait_ms=10, **options)
        self._rules: dict[int, str] = {}
        self._changes: dict[int, list[float]] = {}
        self._seen = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._consumer.stop()

    async def changed(self, number: int, partitions: int) -> float:
        """When so many partitions had taken up the rule set of this number, the first being 0."""
        async with asyncio.timeout(READY_SECONDS):
            while len(found := self._found(number)) < partitions:
                self._seen.clear()
                await self._seen.wait()
                if self._reading.done():
                    self._reading.result()
        return found[partitions - 1]

    def _found(self, number: int) -> Sequence[float]:
        return sorted(changes[number] for changes in self._changes.values() if len(changes) > number)

    async def _read(self) -> None:
        self._reading.add_done_callback(lambda _: self._seen.set())
        while True:
            fetched = await self._consumer.getmany(timeout_ms=100)
            now = time.monotonic()
            for place, records in fetched.items():
                for record in records:
                    self._see(place.partition, dict(record.headers)[RULE_HEADER].decode(), now)

    def _see(self, partition: int, rule: str, now: float) -> None:
        if self._rules.get(partition, rule) != rule:
            self._changes.setdefault(partition, []).append(now)
            self._seen.set()
        self._rules[partition] = rule
