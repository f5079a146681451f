"""Move the default partition's rows to months of their own, while rows are read and inserted.

When a month is attached to the table, Postgres scans the whole default partition under a lock that stops
readers and writers. So rows are copied to months that are not attached yet, and a trigger repeats there what
happens to the rows from then on. At the end these months, and the copies that belong to none of them, replace
the default partition: in one short transaction, however many rows there are. Until then disk space is needed
twice. As with TRUNCATE, a REPEATABLE READ transaction that began before the replacement and first reads the
table after it misses rows.
"""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import asyncpg

from infra.partitions.months import LOCK_SECONDS
from infra.runtime.retry import Backoff

log = logging.getLogger(__name__)
T = TypeVar("T")

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEP_SECONDS = 0.2  # writers wait while a step runs: pages are taken by fewer or more to keep it below this

# Months and trigger belong to the table's owner.
_AS_OWNER = """
SELECT set_config('role', pg_get_userbyid(relowner), false) FROM pg_class
WHERE oid = 'transactions'::regclass
"""
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('transactions_months'))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('transactions_months'))"
_COPIES_EXIST = "SELECT to_regclass('transactions_draining') IS NOT NULL"
_CLEAR = "SELECT clear_transactions_draining()"
# Dates are text on this side: the end of the last month is in the year 10000, which Python does not have.
# Where other partitions cover a part of a month, partitions are made for the rest. The limit is there because
# each month takes about ten locks.
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
# With the constraint Postgres need not scan the month when it is attached to the table.
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
    """Another connection drains, makes or drops months."""


@dataclass(frozen=True, slots=True)
class Month:
    """A partition to be made, for dates from `starts` on and before `ends`."""

    name: str
    starts: str
    ends: str


@dataclass(frozen=True, slots=True)
class Copied:
    """The default partition's pages read until now, all its pages, and the rows just copied to each month."""

    pages: int
    of: int
    rows: dict[str, int]


async def drain(connection: asyncpg.Connection, pages: int) -> AsyncGenerator[Copied, None]:
    """Move all rows of the default partition to months, reading at most `pages` (of 8 kB) of it at a time.

    When it is cut short, the table is unchanged, and copies that are left are removed by the next draining or
    when months are made. It waits for other holders of the table, however long.

    Raises:
        BusyError: Another connection drains, makes or drops months.
    """
    await connection.execute(_AS_OWNER)
    if not await connection.fetchval(_TRY_LOCK):
        raise BusyError("another connection changes the months of this table")
    try:
        while await connection.fetchval("SELECT EXISTS (SELECT FROM transactions_default)"):
            async for copied in _copy(connection, pages):
                yield copied
    finally:
        await _clear(connection)
        await connection.execute(_UNLOCK)
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
        # The lock makes writers wait: a row deleted between reading and copying would come back.
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
    """Run one step in a transaction that holds the table's lock; retried for as long as others hold it."""
    backoff = Backoff(_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
                return await step()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            log.warning("others hold %s: trying again in %.1f s", table, backoff.next)
        await backoff.wait()


async def _clear(connection: asyncpg.Connection) -> None:
    if await connection.fetchval(_COPIES_EXIST):
        await _locked(connection, "transactions_default", partial(connection.execute, _CLEAR))


async def _prepare(connection: asyncpg.Connection, months: list[Month]) -> None:
    """Make the months, not attached yet, and the trigger that repeats in them what happens to the rows."""
    await connection.execute(_COPIES)
    for month in months:
        await connection.execute(_MONTH.format(name=month.name, starts=month.starts, ends=month.ends))
    await connection.execute(_FOLLOW)


async def _replace(connection: asyncpg.Connection, months: list[Month]) -> None:
    """Attach the months to the table, and put what is left in the default partition's place."""
    await connection.execute("DROP TABLE transactions_default")
    for month in months:
        await connection.execute(f"ALTER TABLE transactions_draining DETACH PARTITION {month.name}")
        await connection.execute(
            f"ALTER TABLE transactions ATTACH PARTITION {month.name}"
            f" FOR VALUES FROM ('{month.starts}') TO ('{month.ends}')"
        )
        await connection.execute(f"ALTER TABLE {month.name} DROP CONSTRAINT bounds")
    await connection.execute(_REST)
