"""Move the default partition's rows to months of their own, while rows are read and inserted.

Postgres reads all of a default partition, under a lock that stops readers and writers, for each month that
it gets beside it. So rows are copied to months beside the table, which follow what happens to the rows by a
trigger, and at last take the default partition's place, with what no month was made for: in a moment, however
many rows there are. Until then disk space is needed twice. As with TRUNCATE, a REPEATABLE READ transaction
that is older than that moment, and reads the table for the first time after it, misses rows.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import asyncpg

from infra.partitions.months import LOCK_SECONDS

log = logging.getLogger(__name__)
T = TypeVar("T")

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEP_SECONDS = 0.2
"""How long writers should wait for a step at the most."""

# The table's owner is who the trigger works for, and who makes months.
_AS_OWNER = """
SELECT set_config('role', pg_get_userbyid(relowner), false) FROM pg_class
WHERE oid = 'transactions'::regclass
"""
_ALONE = "SELECT pg_try_advisory_lock(hashtext('transactions_months'))"
_NOT_ALONE = "SELECT pg_advisory_unlock(hashtext('transactions_months'))"
_CUT_SHORT = "SELECT to_regclass('transactions_draining') IS NOT NULL"
_CLEAR = "SELECT clear_transactions_draining()"
# Dates go to and fro as text: the end of the last month is in a year that Python has not. Of a month that
# other partitions have a part of, the rest is made. Each month takes some ten locks: not all at once.
_MONTHS = """
SELECT 'transactions_' || to_char(lower(free),
           CASE starts WHEN lower(free) THEN 'YYYY_MM' ELSE 'YYYY_MM_DD' END),
       (lower(free) AT TIME ZONE 'UTC')::text, (upper(free) AT TIME ZONE 'UTC')::text
FROM (
    SELECT date_trunc('month', txn_date AT TIME ZONE 'UTC') AS starts FROM transactions_default
    GROUP BY 1 ORDER BY count(*) DESC LIMIT 60
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
CREATE INDEX transactions_rest_txn_date ON transactions_rest USING brin (txn_date);
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
ALTER TABLE transactions_default ENABLE ALWAYS TRIGGER follow_rows, ENABLE ALWAYS TRIGGER follow_truncate;
"""
_COPY = """
WITH copied AS (
    INSERT INTO transactions_draining SELECT * FROM transactions_default
    WHERE ctid >= $1::text::tid AND ctid < $2::text::tid
    ON CONFLICT DO NOTHING RETURNING tableoid
)
SELECT tableoid::regclass::text, count(*) FROM copied
WHERE tableoid <> 'transactions_rest'::regclass GROUP BY 1
"""
_REST = """
ALTER TABLE transactions_draining DETACH PARTITION transactions_rest;
DROP TABLE transactions_draining;
ALTER TABLE transactions_rest RENAME TO transactions_default;
ALTER TABLE transactions ATTACH PARTITION transactions_default DEFAULT;
ALTER INDEX transactions_rest_txn_date RENAME TO transactions_default_txn_date;
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
    """Move all rows of the default partition to months, reading at most so many pages (8 kB) of it at a time.

    Nothing has happened to the table when it is cut short. What is left of copies then goes with the next
    draining, or when months are made. It waits for those who hold the table, however long.

    Raises:
        BusyError: Another one is at the months.
    """
    await connection.execute(_AS_OWNER)
    if not await connection.fetchval(_ALONE):
        raise BusyError("another one is at the months of this table")
    try:
        while await connection.fetchval("SELECT EXISTS (SELECT FROM transactions_default)"):
            async for copied in _copy(connection, pages):
                yield copied
    finally:
        await _clear(connection)
        await connection.execute(_NOT_ALONE)
        await connection.execute("RESET ROLE")


async def _copy(connection: asyncpg.Connection, most: int) -> AsyncGenerator[Copied, None]:
    await _clear(connection)
    months = [Month(*row) for row in await connection.fetch(_MONTHS)]
    await _locked(connection, "transactions_default", partial(_prepare, connection, months))
    size = await connection.fetchval(
        "SELECT pg_relation_size('transactions_default') / current_setting('block_size')::bigint"
    )
    page, pages = 0, 1
    while page < size:
        # Writers wait: a row that is deleted after it was read would come back.
        step = partial(connection.fetch, _COPY, f"({page},0)", f"({page + pages},0)")
        began = time.monotonic()
        rows = await _locked(connection, "transactions_default", step, "SHARE ROW EXCLUSIVE")
        took = time.monotonic() - began
        page += pages
        yield Copied(min(page, size), size, dict(rows))
        if took > _STEP_SECONDS:
            pages = max(pages // 2, 1)
        elif took < _STEP_SECONDS / 3:
            pages = min(pages * 2, most)
    await connection.execute("ANALYZE transactions_draining")
    await _locked(connection, "transactions", partial(_replace, connection, months))


async def _locked(
    connection: asyncpg.Connection,
    table: str,
    step: Callable[[], Awaitable[T]],
    mode: str = "ACCESS EXCLUSIVE",
) -> T:
    """One step in a transaction that has the table to itself, tried again and again while others hold it."""
    pause = _PAUSE_SECONDS
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
                return await step()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            log.warning("others hold %s: trying again in %.1f s", table, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _clear(connection: asyncpg.Connection) -> None:
    if await connection.fetchval(_CUT_SHORT):
        await _locked(connection, "transactions_default", partial(connection.execute, _CLEAR))


async def _prepare(connection: asyncpg.Connection, months: list[Month]) -> None:
    """Months beside the table, which follow what happens to the default partition's rows from now on."""
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
