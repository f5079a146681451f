"""Move the default partition's rows to months of their own, while rows are read and inserted.

Postgres reads all of a default partition, under a lock that stops readers and writers, for each month that
it gets beside it. So rows are copied to months beside the table, which follow what happens to the rows by a
trigger, and at last take the default partition's place, empty but for what no month was made for: in a
moment, however many rows there are. Until then disk space is needed twice. As with TRUNCATE, a REPEATABLE
READ transaction that is older than that moment, and reads the table for the first time after it, misses rows.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import asyncpg

from infra.partitions.months import LOCK_SECONDS

T = TypeVar("T")

_TRIES = 30
_PAUSE_SECONDS = 0.5

_ALONE = "SELECT pg_try_advisory_lock(hashtext('transactions_months'))"
_NOT_ALONE = "SELECT pg_advisory_unlock(hashtext('transactions_months'))"
_CLEAR = """
DROP TRIGGER IF EXISTS follow_rows ON transactions_default;
DROP TRIGGER IF EXISTS follow_truncate ON transactions_default;
DROP TABLE IF EXISTS transactions_draining;
"""
# Dates go to and fro as text: the end of the last month is in a year that Python has not. Of a month that
# other partitions have a part of, the rest is made.
_MONTHS = """
SELECT 'transactions_' || to_char(lower(free),
           CASE starts WHEN lower(free) THEN 'YYYY_MM' ELSE 'YYYY_MM_DD' END),
       (lower(free) AT TIME ZONE 'UTC')::text, (upper(free) AT TIME ZONE 'UTC')::text
FROM (
    SELECT DISTINCT date_trunc('month', txn_date AT TIME ZONE 'UTC') AS starts FROM transactions_default
) AS months,
    unnest(tsmultirange(tsrange(starts, starts + interval '1 month')) - (
        SELECT coalesce(range_agg(tsrange(m.starts AT TIME ZONE 'UTC', m.ends AT TIME ZONE 'UTC')), '{}')
        FROM transactions_months AS m
    )) AS free
ORDER BY free
"""
_COPIES = """
CREATE TABLE transactions_draining (LIKE transactions INCLUDING ALL) PARTITION BY RANGE (txn_date);
CREATE TABLE transactions_rest PARTITION OF transactions_draining DEFAULT;
"""
# The constraint spares Postgres to read the month once more when it joins the table.
_MONTH = """
CREATE TABLE {name} PARTITION OF transactions_draining (
    CONSTRAINT bounds CHECK (txn_date >= '{starts}' AND txn_date < '{ends}')
) FOR VALUES FROM ('{starts}') TO ('{ends}')
"""
_FOLLOW = """
CREATE TRIGGER follow_rows AFTER INSERT OR UPDATE OR DELETE ON transactions_default
    FOR EACH ROW EXECUTE FUNCTION follow_transactions_default();
CREATE TRIGGER follow_truncate AFTER TRUNCATE ON transactions_default
    FOR EACH STATEMENT EXECUTE FUNCTION follow_transactions_default();
"""
_COPY = """
WITH copied AS (
    INSERT INTO transactions_draining SELECT * FROM transactions_default
    WHERE ctid >= $1::text::tid AND ctid < $2::text::tid
    ON CONFLICT DO NOTHING RETURNING tableoid
)
SELECT tableoid::regclass::text, count(*) FROM copied GROUP BY 1
"""
_REST = """
ALTER TABLE transactions_draining DETACH PARTITION transactions_rest;
DROP TABLE transactions_draining;
ALTER TABLE transactions_rest RENAME TO transactions_default;
ALTER TABLE transactions ATTACH PARTITION transactions_default DEFAULT;
CREATE INDEX transactions_default_txn_date ON transactions_default USING brin (txn_date);
"""


class BusyError(Exception):
    """Another one drains, or makes or drops months."""


@dataclass(frozen=True, slots=True)
class Month:
    """A partition to be: rows from one date up to, and without, another."""

    name: str
    starts: str
    ends: str


@dataclass(frozen=True, slots=True)
class Copied:
    """How many of the default partition's pages were read, of how many, and the rows copied to each month."""

    pages: int
    of: int
    rows: dict[str, int]


async def drain(connection: asyncpg.Connection, pages: int) -> AsyncGenerator[Copied, None]:
    """Move all rows of the default partition to months, reading so many pages (8 kB) of it at a time.

    Nothing has happened to the table when it is cut short; the next one begins anew.

    Raises:
        BusyError: Another one is at the months.
    """
    if not await connection.fetchval(_ALONE):
        raise BusyError("another one is at the months of this table")
    try:
        while await connection.fetchval("SELECT EXISTS (SELECT FROM transactions_default)"):
            async for copied in _copy(connection, pages):
                yield copied
    finally:
        await _locked(
            connection, "transactions_default", "ACCESS EXCLUSIVE", partial(connection.execute, _CLEAR)
        )
        await connection.execute(_NOT_ALONE)


async def _copy(connection: asyncpg.Connection, pages: int) -> AsyncGenerator[Copied, None]:
    months = [Month(*row) for row in await connection.fetch(_MONTHS)]
    await _locked(
        connection, "transactions_default", "ACCESS EXCLUSIVE", partial(_prepare, connection, months)
    )
    size = await connection.fetchval(
        "SELECT pg_relation_size('transactions_default') / current_setting('block_size')::bigint"
    )
    for page in range(0, size, pages):
        # Writers wait: a row that is deleted after it was read would come back.
        step = partial(connection.fetch, _COPY, f"({page},0)", f"({page + pages},0)")
        rows = await _locked(connection, "transactions_default", "SHARE ROW EXCLUSIVE", step)
        yield Copied(min(page + pages, size), size, dict(rows))
    await connection.execute("ANALYZE transactions_draining")
    await _locked(connection, "transactions", "ACCESS EXCLUSIVE", partial(_replace, connection, months))


async def _locked(
    connection: asyncpg.Connection, table: str, mode: str, step: Callable[[], Awaitable[T]]
) -> T:
    """One step in a transaction that has the table to itself, tried again while others hold it."""
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
                return await step()
        except asyncpg.LockNotAvailableError:
            if not left:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError


async def _prepare(connection: asyncpg.Connection, months: list[Month]) -> None:
    """Months beside the table, which follow what happens to the default partition's rows from now on."""
    await connection.execute(_CLEAR)
    await connection.execute(_COPIES)
    for month in months:
        await connection.execute(_MONTH.format(name=month.name, starts=month.starts, ends=month.ends))
    await connection.execute(_FOLLOW)


async def _replace(connection: asyncpg.Connection, months: list[Month]) -> None:
    """Months join the table, and what is left takes the default partition's place."""
    await connection.execute("DROP TABLE transactions_default")
    for month in months:
        await connection.execute(f"ALTER TABLE transactions_draining DETACH PARTITION {month.name}")
        await connection.execute(
            f"ALTER TABLE transactions ATTACH PARTITION {month.name}"
            f" FOR VALUES FROM ('{month.starts}') TO ('{month.ends}')"
        )
        await connection.execute(f"ALTER TABLE {month.name} DROP CONSTRAINT bounds")
    await connection.execute(_REST)
