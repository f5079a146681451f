"""`post`: from when a transaction is to be posted to the answer, with its verdict and without."""

import asyncio
from statistics import median
from sys import executable

import asyncpg
import click
import msgspec
import psutil

from benchmarks.arrivals import WARM_UP_SECONDS
from benchmarks.bed import Bed
from benchmarks.environments import ROOT
from benchmarks.feed import when_primed, worker_and_api
from benchmarks.live import when_up
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.post_load import CONNECTIONS, Posted
from benchmarks.process import Command, Running, running, tail
from benchmarks.result import Cell, Column, Figure, Result

RATE = 1_000
WAITS = {"verdict": "1s", "taken": ""}
BROKER_ROUNDS = 9
"""So many rounds of load before the first: a broker's Java compiles for a minute or two, on half a core."""
MOST_SECONDS = 300
COLUMNS = [
    Column("answer", "answer"),
    Column("p50", "p50 ms", ",.1f"),
    Column("p99", "p99 ms", ",.1f"),
    Column("p999", "p99.9 ms", ",.1f"),
    Column("highest", "highest", ",.1f"),
    Column("cpu", "API's CPU µs"),
    Column("late", "no verdict in 1 s"),
    Column("failed", "failed"),
]
METHOD = (
    f"Open loop of {RATE:,}/s, a transaction a request, over {CONNECTIONS} connections: latency counts from "
    f"when each was due. The first {WARM_UP_SECONDS} s are left out, and {BROKER_ROUNDS} times as long "
    f"as a round the broker has had the same load before. verdict: `POST /transactions?wait=1s`, "
    "answered with the row; taken: the same without `wait`, answered once Kafka has it. One worker, one API, "
    "Kafka, Postgres and the clients share the cores. CPU: of one request."
)


async def post(loads: Loads, options: Options) -> Result:
    """Both in turn, each time on a fresh worker and API, with a broker that has been under load."""
    seen: dict[str, list[Posted]] = {}
    await _run(loads.bed, WAITS["verdict"], BROKER_ROUNDS * options.seconds)
    for _ in range(options.rounds):
        for answer, wait in WAITS.items():
            one = await _run(loads.bed, wait, WARM_UP_SECONDS + options.seconds)
            seen.setdefault(answer, []).append(one)
            click.echo(f"  {answer}: p99 {one.p99:.1f} ms, {one.cpu or 0:.0f} µs, {one.statuses}")
    rows = [_row(answer, each) for answer, each in seen.items()]
    p99 = {str(row["answer"]): row["p99"] for row in rows}
    return Result(
        name="post",
        title=f"transactions posted one by one, {RATE:,}/s",
        setting=f"{options.seconds:g} s each, {options.rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=rows,
        figures=[
            Figure(
                "post to verdict at 1,000/s, p99", _number(p99["verdict"]), 100, 50, unit="ms", better="less"
            ),
            Figure("post to Kafka has it at 1,000/s, p99", _number(p99["taken"]), unit="ms", better="less"),
        ],
        notes=[METHOD],
    )


def _number(cell: Cell) -> float | None:
    return float(cell) if isinstance(cell, int | float) else None


def _row(answer: str, seen: list[Posted]) -> dict[str, Cell]:
    good = "200" if answer == "verdict" else "202"
    late = sum(one.statuses.get("202", 0) for one in seen) if answer == "verdict" else 0
    failed = sum(count for one in seen for status, count in one.statuses.items() if status != good)
    return {
        "answer": answer,
        "p50": median(one.p50 for one in seen),
        "p99": median(one.p99 for one in seen),
        "p999": median(one.p999 for one in seen),
        "highest": max(one.highest for one in seen),
        "cpu": median(one.cpu for one in seen if one.cpu),
        "late": late,
        "failed": failed - late,
    }


async def _run(bed: Bed, wait: str, seconds: float) -> Posted:
    async with worker_and_api(bed) as (run, environment, installation):
        connection = await asyncpg.connect(environment["POSTGRES_URL"])
        try:
            await when_primed(connection, installation)
        finally:
            await connection.close()
        port = int(environment["TXNWATCH_API_PORT"])
        await when_up(port, installation)
        log = bed.scratch(run) / "post.log"
        arguments = [str(port), str(RATE), str(seconds), wait]
        load = Command([executable, "-m", "benchmarks.post_load", *arguments], {"PYTHONPATH": str(ROOT)}, log)
        return await _finished(load, installation, seconds)


async def _finished(load: Command, installation: Running, seconds: float) -> Posted:
    api = psutil.Process(installation.processes[1].pid)
    before = sum(api.cpu_times()[:2])
    with running(load) as clients:
        async with asyncio.timeout(MOST_SECONDS):
            await clients.finish()
    spent = sum(api.cpu_times()[:2]) - before
    installation.check()
    seen = msgspec.json.decode(tail(load.log, lines=1), type=Posted)
    return msgspec.structs.replace(seen, cpu=1e6 * spent / (RATE * seconds))
