"""`feed`: event streams at their limits: many clients, many events, and clients that do not read."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from sys import executable
from urllib.request import urlopen
from uuid import UUID

import click
import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.bed import PARTITIONS, Bed, free_port, new_run
from benchmarks.contenders import TXNWATCH
from benchmarks.environments import ROOT
from benchmarks.listeners import Heard
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.process import Command, Running, running, tail
from benchmarks.race import output_of
from benchmarks.result import Cell, Column, Figure, Result, ratio

READY_SECONDS, CONNECT_SECONDS, DONE_SECONDS = 30, 120, 90
USER = str(UUID(int=7))
COLUMNS = [
    Column("case", "case"),
    Column("events", "events seen"),
    Column("wrong", "missed or twice"),
    Column("p50", "p50 ms", ",.1f"),
    Column("p99", "p99 ms", ",.1f"),
    Column("highest", "highest", ",.1f"),
    Column("kilobytes", "KB a client", ",.1f"),
]
METHOD = (
    "One API process, one process for all clients, both on the broker's machine. Time: from before an event "
    "is sent to Kafka, outside a transaction, to when a client has all of it. Memory: the API's resident "
    "growth from no client to all of them connected, over their number; the kernel keeps its own."
)


@dataclass(frozen=True, slots=True)
class Case:
    """So many clients and events; `padding` makes the rows that much larger."""

    name: str
    reading: int
    rate: float
    silent: int = 0
    padding: int = 0
    settings: dict[str, str] = field(default_factory=dict)


MANY = Case("10,000 clients, 1 event/s", 10_000, 1)
FAST = Case("1,000 clients, 20 events/s", 1_000, 20)
SMALL = {"TXNWATCH_SSE_BUFFER_BYTES": "65536"}
ALONE = Case("500 that read", 500, 20, padding=4_000, settings=SMALL)
BESIDE = Case("500 that read, 50 that never do", 500, 20, silent=50, padding=4_000, settings=SMALL)


async def feed(loads: Loads, options: Options) -> Result:
    """Each case on an API of its own; the last two in turn."""
    seconds = min(options.seconds, 10)
    seen: dict[str, list[tuple[Heard, float]]] = {}
    for case in (MANY, FAST, *[ALONE, BESIDE] * max(options.rounds, 1)):
        heard, bytes_each = await _run(loads.bed, case, round(case.rate * seconds))
        seen.setdefault(case.name, []).append((heard, bytes_each))
        click.echo(
            f"  {case.name}: p99 {heard.p99:.1f} ms, {heard.wrong} wrong, {bytes_each / 1000:.1f} KB a client"
        )
    rows = [_row(name, each) for name, each in seen.items()]
    by_name = {str(row["case"]): row for row in rows}
    return Result(
        name="feed",
        title="live events to many clients of one API process",
        setting=f"{seconds:g} s each",
        columns=COLUMNS,
        rows=rows,
        figures=_figures(by_name),
        notes=[METHOD],
    )


def _figures(rows: dict[str, dict[str, Cell]]) -> list[Figure]:
    def cell(case: Case, key: str) -> float | None:
        found = rows[case.name][key]
        return float(found) if isinstance(found, int | float) else None

    slow = ratio(cell(BESIDE, "p99"), cell(ALONE, "p99"))
    return [
        Figure("10,000 clients: missed or twice", cell(MANY, "wrong"), 0, 0, unit="events", better="less"),
        Figure("1,000 clients, 20 events/s: p99", cell(FAST, "p99"), 500, 100, unit="ms", better="less"),
        Figure("memory a client", cell(MANY, "kilobytes"), 60, 25, unit="KB", better="less"),
        Figure("p99 beside 50 clients that never read", slow, 1.5, 1.05, better="less"),
    ]


def _row(name: str, seen: list[tuple[Heard, float]]) -> dict[str, Cell]:
    heard = [one for one, _ in seen]
    return {
        "case": name,
        "events": sum(one.events for one in heard),
        "wrong": sum(one.wrong for one in heard),
        "p50": median(one.p50 for one in heard),
        "p99": median(one.p99 for one in heard),
        "highest": max(one.highest for one in heard),
        "kilobytes": median(each for _, each in seen) / 1000,
    }


async def _run(bed: Bed, case: Case, events: int) -> tuple[Heard, float]:
    """What the clients heard, and how many bytes the API took for each."""
    run, port = new_run(), free_port()
    await bed.create_topics(output_of(run))
    environment = {
        **bed.addresses.as_env(),
        "TXNWATCH_ANOMALIES_TOPIC": output_of(run),
        "TXNWATCH_SCORED_TOPIC": "",
        "TXNWATCH_API_PORT": str(port),
        **case.settings,
    }
    folder = bed.scratch(run)
    try:
        with running(Command([TXNWATCH, "api"], environment, folder / "api.log")) as api:
            await when_up(port, api)
            before = api.memory_bytes()
            arguments = [str(port), "/sse/anomalies", str(case.reading), str(case.silent), str(events)]
            module: list[str | Path] = [Path(executable), "-m", "benchmarks.listeners", *arguments]
            log = folder / "listeners.log"
            with running(Command(module, {"PYTHONPATH": str(ROOT)}, log)) as listeners:
                await _when_connected(listeners, log)
                each = (api.memory_bytes() - before) / (case.reading + case.silent)
                await _publish(bed.kafka, output_of(run), case, events)
                async with asyncio.timeout(DONE_SECONDS):
                    await listeners.finish()
            return msgspec.json.decode(tail(log, lines=1), type=Heard), each
    finally:
        await bed.clean(run)


async def _publish(kafka: str, topic: str, case: Case, events: int) -> None:
    """At the rate, over all partitions."""
    filler = "x" * case.padding
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        start = time.monotonic()
        for number in range(events):
            await asyncio.sleep(max(0.0, start + number / case.rate - time.monotonic()))
            row = (
                f'{{"id":"{UUID(int=number)}","user_id":"{USER}","amount":"12.30","currency":"INR",'
                f'"txn_date":"2026-01-01T00:00:00Z","status":"paid","meta_data":{{"number":{number},'
                f'"sent":{time.monotonic_ns()},"is_anomaly":true,"note":"{filler}"}}}}'
            )
            await producer.send_and_wait(
                topic, row.encode(), key=USER.encode(), partition=number % PARTITIONS
            )


async def when_up(port: int, api: Running) -> None:
    """Wait until the API answers."""

    def asks() -> bool:
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health") as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
        return False

    async with asyncio.timeout(READY_SECONDS):
        while not await asyncio.to_thread(asks):
            api.check()
            await asyncio.sleep(0.1)


async def _when_connected(listeners: Running, log: Path) -> None:
    async with asyncio.timeout(CONNECT_SECONDS):
        while "connected" not in tail(log):
            listeners.check()
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)  # what opening took is over
