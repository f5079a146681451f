"""`latency`: from when a transaction was to be sent to its row in Postgres and to its event at a browser."""

import asyncio
import contextlib
import time

import aiohttp
import asyncpg
import click
import msgspec

from benchmarks.arrivals import (
    POLL_SECONDS,
    WARM_UP_SECONDS,
    Arrivals,
    event_stream,
    watch_events,
    watch_rows,
)
from benchmarks.bed import PARTITIONS, Bed
from benchmarks.feed import READY_SECONDS, paced, when_primed, worker_and_api
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.process import Running, running, tail
from benchmarks.race import reason
from benchmarks.result import Cell, Column, Figure, Result
from benchmarks.schedule import PROBES, Schedule, percentile, user_id

RATES = (1_000, 5_000, 10_000)
DRAIN_SECONDS = 30
COLUMNS = [
    Column("rate", "sent/s"),
    Column("until", "until"),
    Column("p50", "p50 ms", ",.1f"),
    Column("p99", "p99 ms", ",.1f"),
    Column("p999", "p99.9 ms", ",.1f"),
    Column("highest", "highest", ",.1f"),
    Column("samples", "samples"),
    Column("missing", "missing"),
]
METHOD = (
    "Open loop: the time to send each transaction is fixed beforehand, and latency counts from it, not from "
    f"when it was sent. The first {WARM_UP_SECONDS} s are left out. Rows: all, seen by asking Postgres every "
    f"{1000 * POLL_SECONDS:.0f} ms for the offset that their transaction advances. Events: those of {PROBES} "
    "users, each with a stream of its own, through one API process."
)


async def latency(loads: Loads, options: Options) -> Result:
    """Each rate on a fresh installation."""
    rows: list[dict[str, Cell]] = []
    notes = [METHOD]
    for rate in RATES:
        try:
            arrivals, late = await _run(loads.bed, Schedule(rate, WARM_UP_SECONDS + options.seconds))
        except Exception as error:  # noqa: BLE001 - the other rates go on
            notes.append(f"{rate:,}/s failed: {reason(error)}")
            click.echo(f"  {notes[-1]}", err=True)
            continue
        rows += _rows(arrivals)
        notes.append(f"{rate:,}/s: 99 of 100 sends were at most {late:.1f} ms late.")
        shown = ", ".join(f"{row['until']} {COLUMNS[3].show(row)} ms" for row in rows[-2:])
        click.echo(f"  {rate:,}/s: p99: {shown}")
    return Result(
        name="latency",
        title="from when a transaction is due to its row and its event; one worker, one API",
        setting=f"{options.seconds:g} s at each rate, 4 partitions, lz4",
        columns=COLUMNS,
        rows=rows,
        figures=[
            Figure(
                "produce to SSE event at 5,000/s, p99",
                _p99_of_event(rows, 5_000),
                150,
                50,
                unit="ms",
                better="less",
            )
        ],
        notes=notes,
    )


def _p99_of_event(rows: list[dict[str, Cell]], rate: int) -> float | None:
    for row in rows:
        if row["rate"] == rate and row["until"] == "event" and isinstance(row["p99"], float):
            return row["p99"]
    return None


def _rows(arrivals: Arrivals) -> list[dict[str, Cell]]:
    return [
        _row(arrivals, "row", arrivals.rows, probes_only=False),
        _row(arrivals, "event", arrivals.events, probes_only=True),
    ]


def _row(arrivals: Arrivals, until: str, arrived: dict[int, float], *, probes_only: bool) -> dict[str, Cell]:
    latencies = arrivals.latencies(arrived)
    return {
        "rate": arrivals.schedule.rate,
        "until": until,
        "p50": percentile(latencies, 50),
        "p99": percentile(latencies, 99),
        "p999": percentile(latencies, 99.9),
        "highest": percentile(latencies, 100),
        "samples": len(latencies),
        "missing": arrivals.expected(probes_only=probes_only) - len(latencies),
    }


async def _run(bed: Bed, schedule: Schedule) -> tuple[Arrivals, float]:
    """Arrivals, and how late 99 of 100 sends were at the most."""
    async with worker_and_api(bed) as (run, environment, installation):
        return await _observe(bed, run, environment, schedule, installation)


async def _observe(
    bed: Bed,
    run: str,
    environment: dict[str, str],
    schedule: Schedule,
    installation: Running,
) -> tuple[Arrivals, float]:
    arrivals = Arrivals(schedule)
    url = f"http://127.0.0.1:{environment['TXNWATCH_API_PORT']}"
    async with contextlib.AsyncExitStack() as stack:
        connection = await asyncpg.connect(environment["POSTGRES_URL"])
        stack.push_async_callback(connection.close)
        offsets = await when_primed(connection, installation)
        connector = aiohttp.TCPConnector(limit=0)
        client = await stack.enter_async_context(
            aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        )
        await _when_ready(client, installation)
        streams = [await stack.enter_async_context(event_stream(client, user_id(n))) for n in range(PROBES)]
        numbers = [list(schedule.sent_to(partition)) for partition in range(PARTITIONS)]
        arrivals.start = time.monotonic() + 1.5
        producer = stack.enter_context(running(paced(bed, run, schedule, arrivals.start)))
        watchers = [
            asyncio.create_task(watch_rows(connection, arrivals, offsets, numbers)),
            *(asyncio.create_task(watch_events(stream, arrivals)) for stream in streams),
        ]
        stack.callback(lambda: [task.cancel() for task in watchers])
        await producer.finish()
        await _drain(arrivals, installation, watchers)
        return arrivals, float(msgspec.json.decode(tail(producer.commands[0].log, lines=1)))


async def _drain(arrivals: Arrivals, installation: Running, watchers: list[asyncio.Task[None]]) -> None:
    """Wait for what is still on its way, within reason."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while not arrivals.complete and time.monotonic() < deadline:
        installation.check()
        for watcher in watchers:
            if watcher.done():
                watcher.result()
        await asyncio.sleep(0.1)


async def _when_ready(client: aiohttp.ClientSession, installation: Running) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            installation.check()
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get("/ready") as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.1)
