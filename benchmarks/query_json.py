"""Who writes a page's JSON: Postgres, or this process from its records."""

import contextlib
import importlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from api.reading.statements import page_statement, rows_statement
from benchmarks.range_rows import FILTERS, LIMIT
from benchmarks.result import Figure, ratio

ROUNDS = 50
PAGES_A_ROUND = 20
WRITTEN_HOW = (
    "A page's JSON over one connection, without HTTP: one text that Postgres has put together, against "
    "records of seven columns that this process encodes, with meta_data as the text it is. Same JSON."
)


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


async def written(url: str) -> dict[str, tuple[float, float]]:
    """Microseconds a page of this process's processor and of the clock, by who writes the JSON; medians."""
    ways: dict[str, Page] = {"Postgres": _by_postgres, "msgspec": _by_msgspec}
    with contextlib.suppress(ImportError):  # no part of ours needs it
        ways["orjson"] = _by_orjson(importlib.import_module("orjson"))
    took: dict[str, list[tuple[float, float]]] = {who: [] for who in ways}
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        same = [msgspec.json.decode(await page(connection)) for page in ways.values()]
        assert all(one == same[0] for one in same)  # noqa: S101
        for _ in range(ROUNDS):
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


def figures_of_json(written: dict[str, tuple[float, float]]) -> list[Figure]:
    """How many times Postgres's the others' times are."""
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
