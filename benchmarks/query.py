"""`query`: a page of 100 rows over HTTP, beside the old system's way, and what it costs Postgres."""

from statistics import median

import click

from benchmarks.bed import new_run
from benchmarks.http_load import Seen
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.query_json import WRITTEN_HOW, figures_of_json, written
from benchmarks.query_plans import EXPLAINED_HOW, executed
from benchmarks.query_ways import BARE, GUARDED, OLD, OURS, last_against_first, ways
from benchmarks.range_rows import LIMIT, ROWS, USERS, fill
from benchmarks.result import Cell, Column, Figure, Result, ratio

CLIENTS = 32
COLUMNS = [
    Column("way", "way"),
    Column("clients", "clients"),
    Column("rate", "median/s"),
    Column("p50", "p50 ms", ",.2f"),
    Column("p99", "p99 ms", ",.2f"),
    Column("cpu", "server's CPU µs"),
    Column("failed", "failed"),
]
METHOD = (
    "Closed loop from one process that parses no JSON; server, clients and Postgres share the cores. Old: "
    "FastAPI and SQLModel on its own table and index, one process of uvicorn on uvloop and httptools. Bare: "
    "asyncpg fetching the same page, as many at a time over 10 connections. Our query cache is off."
)


async def query(loads: Loads, options: Options) -> Result:
    """All ways in turn, several rounds; then Postgres alone, and the last page against the first."""
    bed, run = loads.bed, new_run()
    seconds, rounds = min(options.seconds, 5.0), max(options.rounds, 1)
    url = await bed.database(run)
    click.echo(f"  filling two tables: {ROWS:,} rows of {USERS} users")
    await fill(url)
    seen: dict[tuple[str, int], list[Seen]] = {}
    notes = [METHOD, EXPLAINED_HOW]
    try:
        async with ways(bed, run, url, notes) as all_ways:
            for _ in range(rounds):
                for way in all_ways:
                    for clients in (1, CLIENTS):
                        one = await way.measure(clients, seconds)
                        seen.setdefault((way.name, clients), []).append(one)
                        click.echo(
                            f"  {way.name}, {clients} clients: {one.rate:,.0f}/s, p99 {one.p99:.2f} ms"
                        )
        by_statement = await executed(url)
        by_writer = await written(url)
        last_page = await last_against_first(bed, run, url)
    finally:
        await bed.clean(run)
    rows = [_row(*which, each) for which, each in seen.items()]
    return Result(
        name="query",
        title=f"{LIMIT} rows of a range, {ROWS:,} rows of {USERS} users",
        setting=f"{seconds:g} s each, {rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=rows,
        figures=[*_figures(rows, by_statement, last_page), *figures_of_json(by_writer)],
        notes=[
            *notes,
            *(f"executed, {what}: {value:.3f} ms" for what, value in by_statement.items()),
            WRITTEN_HOW,
            *(
                f"JSON by {who}: {cpu:.0f} µs of our processor, {all_:.0f} µs"
                for who, (cpu, all_) in by_writer.items()
            ),
        ],
    )


def _figures(rows: list[dict[str, Cell]], by_statement: dict[str, float], last_page: float) -> list[Figure]:
    def cell(way: str, clients: int, key: str) -> float | None:
        found = next((row[key] for row in rows if (row["way"], row["clients"]) == (way, clients)), None)
        return found if isinstance(found, float) else None

    return [
        Figure(
            f"requests/s with {CLIENTS} clients against the old way",
            ratio(cell(OURS, CLIENTS, "rate"), cell(OLD, CLIENTS, "rate")),
            10,
            20,
        ),
        Figure(
            "the server's processor time of a request, the old way's over ours",
            ratio(cell(OLD, CLIENTS, "cpu"), cell(OURS, CLIENTS, "cpu")),
        ),
        Figure(
            "the server's processor time of a request with a token and a limit over one without",
            ratio(cell(GUARDED, CLIENTS, "cpu"), cell(OURS, CLIENTS, "cpu")),
            1.05,
            1.05,
            better="less",
        ),
        *(
            Figure(
                f"p99 against the bare round trip, {clients} clients",
                ratio(cell(OURS, clients, "p99"), cell(BARE, clients, "p99")),
                4,
                2,
                better="less",
            )
            for clients in (CLIENTS, 1)
        ),
        *(
            Figure(
                f"execution in Postgres, the {what} page: the old table, index and condition against ours",
                ratio(by_statement[f"old {what}"], by_statement[f"rows {what}"]),
                2,
                5,
            )
            for what in ("first", "middle")
        ),
        Figure(
            f"the last page of {ROWS // USERS:,} rows against the first", last_page, 1.5, 1.1, better="less"
        ),
    ]


def _row(way: str, clients: int, seen: list[Seen]) -> dict[str, Cell]:
    return {
        "way": way,
        "clients": clients,
        "rate": median(one.rate for one in seen),
        "p50": median(one.p50 for one in seen),
        "p99": median(one.p99 for one in seen),
        "cpu": median(one.cpu for one in seen if one.cpu) if seen[0].cpu else None,
        "failed": sum(one.failed for one in seen),
    }
