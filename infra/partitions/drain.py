"""Move the default partition's rows to months of their own, while rows are read and inserted.

When a month is attached to the table, Postgres scans the whole default partition under a lock that stops
readers and writers. So rows are copied to months that are not attached yet, and a trigger repeats there what
happens to the rows from then on. At the end these months, and the copies that belong to none of them, replace
the default partition: in one short transaction, however many rows there are. Until then disk space is needed
twice. As with TRUNCATE, a REPEATABLE READ transaction that began before the replacement and first reads the
table after it misses rows.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import asyncpg

from infra.partitions.months import LOCK_SECONDS
from infra.runtime.retry import Backoff, Outage

T = TypeVar("T")

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEP_SECONDS = 0.2  # writers wait while a step runs: pages are taken by fewer or more to keep it below this

_SQL = {path.stem: path.read_text() for path in (Path(__file__).parent / "draining").glob("*.sql")}
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('transactions_months'))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('transactions_months'))"


class BusyError(Exception):
    """Another connection drains, makes or drops months."""


class Copied(NamedTuple):
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
    await connection.execute(_SQL["as_owner"])
    if not await connection.fetchval(_TRY_LOCK):
        raise BusyError("another connection changes the months of this table: try again when it is done.")
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
    months = await connection.fetch(_SQL["months"])
    await _locked(connection, "transactions_default", partial(_prepare, connection, months))
    size = await connection.fetchval(
        "SELECT pg_relation_size('transactions_default') / current_setting('block_size')::bigint"
    )
    page, pages = 0, 1
    while page < size:
        # The lock makes writers wait: a row deleted between reading and copying would come back.
        step = partial(connection.fetch, _SQL["copy"], f"({page},0)", f"({page + pages},0)")
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
    backoff, outage = Backoff(_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS), Outage(f"lock of {table}")
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
                return await step()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            outage.failed("others hold it")
        await backoff.wait()


async def _clear(connection: asyncpg.Connection) -> None:
    if await connection.fetchval("SELECT to_regclass('transactions_draining') IS NOT NULL"):
        clear = partial(connection.execute, "SELECT clear_transactions_draining()")
        await _locked(connection, "transactions_default", clear)


async def _prepare(connection: asyncpg.Connection, months: list[asyncpg.Record]) -> None:
    """Make the months, not attached yet, and the triggers that repeat in them what happens to the rows."""
    await connection.execute(_SQL["begin"])
    for month in months:
        await connection.execute(_SQL["make_month"].format_map(month))


async def _replace(connection: asyncpg.Connection, months: list[asyncpg.Record]) -> None:
    """Attach the months to the table, and put what is left in the default partition's place."""
    await connection.execute("DROP TABLE transactions_default")
    for month in months:
        await connection.execute(_SQL["attach_month"].format_map(month))
    await connection.execute(_SQL["end"])
