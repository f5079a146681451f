"""`query`: a page of 100 rows over HTTP, beside the old system's way, and what it costs Postgres."""

import asyncio
import contextlib
import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
import asyncpg
import click
import msgspec

from api.reading.cursors import RowKey
from api.reading.statements import page_statement, rows_statement
from benchmarks.bed import Bed, free_port, new_run
from benchmarks.contenders import TXNWATCH
from benchmarks.environments import ROOT, UnavailableError, peer_python
from benchmarks.http_load import Seen
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.process import Command, Running, running, tail
from benchmarks.range_rows import FILTERS, FROM, LIMIT, ROWS, TO, USER, USERS, fill
from benchmarks.result import Cell, Column, Figure, Result, ratio

CLIENTS, EXPLAINED = 32, 50
READY_SECONDS = 60
PATH = "/transactions?" + urlencode(
    {"user_id": USER, "from_date": FROM.isoformat(), "to_date": TO.isoformat(), "limit": LIMIT}
)
COLUMNS = [
    Column("way", "way"),
    Column("clients", "clients"),
    Column("rate", "median/s"),
    Column("p50", "p50 ms", ",.2f"),
    Column("p99", "p99 ms", ",.2f"),
    Column("cpu", "server's CPU µs"),
    Column("failed", "failed"),
]
OLD_ROWS = """
SELECT id, user_id, amount, currency, txn_date, status, meta_data FROM old_transactions AS t
WHERE t.user_id = $1 AND t.txn_date >= $2 AND t.txn_date <= $3{after}
ORDER BY t.txn_date DESC, t.id LIMIT $4"""
# As ORMs put it; ours has the bound that it implies, which an index scan can start at.
OLD_AFTER = " AND (t.txn_date < $5 OR (t.txn_date = $5 AND t.id > $6))"
METHOD = (
    "Closed loop from one process that parses no JSON; server, clients and Postgres share the cores. Old: "
    "FastAPI and SQLModel on its own table and index, one process of uvicorn on uvloop and httptools. Bare: "
    "asyncpg fetching the same page, as many at a time over 10 connections. Our query cache is off."
)
EXPLAIN = "EXPLAIN (ANALYZE, SERIALIZE TEXT, TIMING OFF, FORMAT JSON)"
EXPLAINED_HOW = (
    f"Execution time by {EXPLAIN}, so that turning rows into text is in it on both sides; same rows, same "
    "order. The first page's plan on the old index is an incremental sort of few rows, which is no dearer; "
    "further pages are where the old way reads all that came before."
)

PAGES_A_ROUND = 20
WRITTEN_HOW = (
    "A page's JSON over one connection, without HTTP: one text that Postgres has put together, against "
    "records of seven columns that this process encodes, with meta_data as the text it is. Same JSON."
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get the page; `measure` runs it with so many clients for so many seconds."""

    name: str
    measure: Callable[[int, float], Awaitable[Seen]]


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
        async with _ways(bed, run, url, notes) as ways:
            for _ in range(rounds):
                for way in ways:
                    for clients in (1, CLIENTS):
                        one = await way.measure(clients, seconds)
                        seen.setdefault((way.name, clients), []).append(one)
                        click.echo(
                            f"  {way.name}, {clients} clients: {one.rate:,.0f}/s, p99 {one.p99:.2f} ms"
                        )
        executed = await _executed(url)
        written = await _written(url)
        last_page = await _last_against_first(bed, run, url)
    finally:
        await bed.clean(run)
    rows = [_row(*which, each) for which, each in seen.items()]
    return Result(
        name="query",
        title=f"{LIMIT} rows of a range, {ROWS:,} rows of {USERS} users",
        setting=f"{seconds:g} s each, {rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=rows,
        figures=[*_figures(rows, executed, last_page), *_figures_of_json(written)],
        notes=[
            *notes,
            *(f"executed, {what}: {value:.3f} ms" for what, value in executed.items()),
            WRITTEN_HOW,
            *(
                f"JSON by {who}: {cpu:.0f} µs of our processor, {all_:.0f} µs"
                for who, (cpu, all_) in written.items()
            ),
        ],
    )


OURS, OLD, BARE = "txnwatch", "FastAPI + SQLModel", "bare SQL"


def _figures(rows: list[dict[str, Cell]], executed: dict[str, float], last_page: float) -> list[Figure]:
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
                ratio(executed[f"old {what}"], executed[f"rows {what}"]),
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


# --- The ways --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _ways(bed: Bed, run: str, url: str, notes: list[str]) -> AsyncIterator[list[Way]]:
    async with contextlib.AsyncExitStack() as stack:
        ways = [
            Way(OURS, await stack.enter_async_context(_served(bed, run, "ours", _ours(bed, url)))),
            Way(BARE, lambda clients, seconds: _load(bed, run, "sql_load", url, clients, seconds)),
        ]
        try:
            old = await stack.enter_async_context(_served(bed, run, "old", _old(url)))
        except UnavailableError as error:
            notes.append(f"{OLD} skipped: {error}")
        else:
            ways.append(Way(OLD, old))
        yield ways


Start = Callable[[int], tuple[list[Any], dict[str, str]]]


def _ours(bed: Bed, url: str) -> Start:
    def start(port: int) -> tuple[list[Any], dict[str, str]]:
        settings = {"POSTGRES_URL": url, "TXNWATCH_QUERY_CACHE_SECONDS": "0", "TXNWATCH_API_PORT": str(port)}
        return [TXNWATCH, "api"], {**bed.addresses.as_env(), **settings}

    return start


def _old(url: str) -> Start:
    def start(port: int) -> tuple[list[Any], dict[str, str]]:
        arguments = ["-m", "uvicorn", "benchmarks.peers.old_api:app", "--port", str(port), "--no-access-log"]
        peer = {
            "PEER_POSTGRES": url.replace("postgresql://", "postgresql+psycopg://"),
            "PYTHONPATH": str(ROOT),
        }
        return [peer_python("old_api"), *arguments], peer

    return start


@contextlib.asynccontextmanager
async def _served(
    bed: Bed, run: str, name: str, start: Start
) -> AsyncIterator[Callable[[int, float], Awaitable[Seen]]]:
    """A server that answers the page, and what measures it."""
    port = free_port()
    arguments, environment = start(port)

    with running(Command(arguments, environment, bed.scratch(run) / f"{name}.log")) as server:

        async def measure(clients: int, seconds: float) -> Seen:
            before = server.cpu_seconds()
            seen = await _load(bed, run, "http_load", port, clients, seconds, PATH)
            spent = 1e6 * (server.cpu_seconds() - before)
            return msgspec.structs.replace(seen, cpu=spent / (seen.rate * seconds))

        await _when_it_answers(port, server)
        await measure(4, 1.0)  # its plans and connections are made
        yield measure


async def _load(bed: Bed, run: str, module: str, *arguments: object) -> Seen:
    """What the clients of a process of their own saw."""
    log = bed.scratch(run) / f"{module}-{time.monotonic_ns()}.log"
    command: list[str | Path] = [Path(sys.executable), "-m", f"benchmarks.{module}", *map(str, arguments)]
    with running(Command(command, {"PYTHONPATH": str(ROOT)}, log)) as process:
        await process.finish()
    return msgspec.json.decode(tail(log, lines=1), type=Seen)


async def _when_it_answers(port: int, server: Running) -> None:
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        while True:
            server.check()
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get(PATH) as response:
                    rows = (await response.json())["transactions"]
                    assert len(rows) == LIMIT  # noqa: S101
                    return
            await asyncio.sleep(0.1)


# --- Who writes the JSON ---------------------------------------------------------------------


class _Row(msgspec.Struct, frozen=True):
    id: UUID
    user_id: UUID
    amount: Decimal
    currency: str
    txn_date: datetime
    status: str
    meta_data: msgspec.Raw


Page = Callable[[asyncpg.Connection], Awaitable[bytes]]


async def _by_postgres(connection: asyncpg.Connection) -> bytes:
    statement, values = page_statement(FILTERS, None, LIMIT)
    [record] = await connection.fetch(statement, *values)
    return f"[{record[0]}]".encode()


async def _records(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    statement, values = rows_statement(", ".join(_Row.__struct_fields__), FILTERS, None, LIMIT)
    records: list[asyncpg.Record] = await connection.fetch(statement, *values)
    return records


async def _by_msgspec(connection: asyncpg.Connection) -> bytes:
    rows = [
        _Row(row, user, amount, currency, txn_date, status, msgspec.Raw(meta_data))
        for row, user, amount, currency, txn_date, status, meta_data in await _records(connection)
    ]
    return msgspec.json.encode(rows)


def _by_orjson(orjson: Any) -> Page:
    async def page(connection: asyncpg.Connection) -> bytes:
        rows = [
            {**record, "meta_data": orjson.Fragment(record["meta_data"])}
            for record in await _records(connection)
        ]
        # Decimal is what it does not know.
        body: bytes = orjson.dumps(rows, default=str, option=orjson.OPT_UTC_Z)
        return body

    return page


async def _written(url: str) -> dict[str, tuple[float, float]]:
    """Microseconds a page of this process's processor and of the clock, by who writes the JSON; medians."""
    ways: dict[str, Page] = {"Postgres": _by_postgres, "msgspec": _by_msgspec}
    with contextlib.suppress(ImportError):  # no part of ours needs it
        ways["orjson"] = _by_orjson(importlib.import_module("orjson"))
    took: dict[str, list[tuple[float, float]]] = {who: [] for who in ways}
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        same = [msgspec.json.decode(await page(connection)) for page in ways.values()]
        assert all(one == same[0] for one in same)  # noqa: S101
        for _ in range(EXPLAINED):
            for who, page in ways.items():
                cpu, began = time.process_time(), time.perf_counter()
                for _ in range(PAGES_A_ROUND):
                    await page(connection)
                took[who].append((time.process_time() - cpu, time.perf_counter() - began))
    finally:
        await connection.close()
    return {
        who: (
            median(cpu for cpu, _ in each) / PAGES_A_ROUND * 1e6,
            median(all_ for _, all_ in each) / PAGES_A_ROUND * 1e6,
        )
        for who, each in took.items()
    }


def _figures_of_json(written: dict[str, tuple[float, float]]) -> list[Figure]:
    ours, ours_all = written["Postgres"]
    return [
        figure
        for who, (cpu, all_) in written.items()
        if who != "Postgres"
        for figure in (
            Figure(f"our processor time of a page's JSON, {who}'s over Postgres's", ratio(cpu, ours)),
            Figure(f"the time of a page as JSON, {who}'s over Postgres's", ratio(all_, ours_all)),
        )
    ]


# --- Postgres alone, and the last page -------------------------------------------------------


async def _executed(url: str) -> dict[str, float]:
    """Median milliseconds of each statement in Postgres, in turn."""
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        statements = await _statements(connection)
        took: dict[str, list[float]] = {name: [] for name in statements}
        for _ in range(EXPLAINED):
            for name, (statement, values) in statements.items():
                plan = await connection.fetchval(f"{EXPLAIN} {statement}", *values)
                took[name].append(msgspec.json.decode(plan)[0]["Execution Time"])
    finally:
        await connection.close()
    return {name: median(each) for name, each in took.items()}


async def _statements(connection: asyncpg.Connection) -> dict[str, tuple[str, list[Any]]]:
    """The first page and the one in the middle: ours as JSON, ours as rows, the old way's rows."""
    everything, values = rows_statement(
        "t.txn_date, t.id::text, t.user_id::text", FILTERS, None, ROWS // USERS // 2
    )
    middle = RowKey(*(await connection.fetch(everything, *values))[-1])
    return {
        f"{name} {what}": statement
        for what, after in (("first", None), ("middle", middle))
        for name, statement in {
            "JSON": page_statement(FILTERS, after, LIMIT),
            "rows": rows_statement("t.*", FILTERS, after, LIMIT),
            "old": _old_statement(after),
        }.items()
    }


def _old_statement(after: RowKey | None) -> tuple[str, list[Any]]:
    values = [USER, FROM, TO, LIMIT]
    if after is None:
        return OLD_ROWS.format(after=""), values
    return OLD_ROWS.format(after=OLD_AFTER), [*values, after.txn_date, after.id]


async def _last_against_first(bed: Bed, run: str, url: str) -> float:
    """The time of the last full page of all of a user's rows over that of the first, medians of 50."""
    port = free_port()
    arguments, environment = _ours(bed, url)(port)
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(running(Command(arguments, environment, bed.scratch(run) / "pages.log")))
        await _when_it_answers(port, server)
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        paths = [PATH]
        for _ in range(ROWS // USERS // LIMIT - 1):
            async with client.get(paths[-1]) as response:
                paths.append(f"{PATH}&cursor={(await response.json())['cursor']}")
        took: dict[str, list[float]] = {paths[0]: [], paths[-1]: []}
        for _ in range(EXPLAINED):
            for path, times in took.items():
                began = time.perf_counter()
                async with client.get(path) as response:
                    assert len((await response.json())["transactions"]) == LIMIT  # noqa: S101
                times.append(time.perf_counter() - began)
    first, last = (median(times) for times in took.values())
    return last / first
