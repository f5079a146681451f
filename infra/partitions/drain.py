"""Move the default partition's rows to months of their own, in bounded batches, while rows are inserted.

A month grows batch by batch: in one short transaction it is detached, takes the next few rows by date,
and is attached again up to where they end. So at every moment each row is in the table once, a row
inserted meanwhile goes to where its date belongs, and what was done stays done when it is cut short.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from infra.partitions.months import LOCK_SECONDS

_TRIES = 30
_PAUSE_SECONDS = 0.5

# Dates go to and fro as text: the end of the last month is in a year that Python has not.
_NEXT = """
SELECT 'transactions_' || to_char(starts, 'YYYY_MM') AS month,
       (starts AT TIME ZONE 'UTC')::text AS starts,
       ((starts + interval '1 month') AT TIME ZONE 'UTC')::text AS ends
FROM (
    SELECT date_trunc('month', min(txn_date) AT TIME ZONE 'UTC') AS starts FROM transactions_default
) AS oldest
WHERE starts IS NOT NULL
"""
# The date before which the batch lies. Ties stay together: a batch may be larger for them.
_CUT = """
SELECT txn_date::text FROM transactions_default AS t
WHERE t.txn_date < $1::text::timestamptz AND t.txn_date > (SELECT min(txn_date) FROM transactions_default)
ORDER BY t.txn_date OFFSET $2 LIMIT 1
"""
_MOVE = """
WITH moved AS (
    DELETE FROM transactions_default
    WHERE txn_date >= $1::text::timestamptz AND txn_date < $2::text::timestamptz RETURNING *
)
INSERT INTO {month} SELECT * FROM moved
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a month that starts at `starts`, up to `cut`."""

    month: str
    starts: str
    cut: str


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows went to which month."""

    month: str
    rows: int


async def drain(connection: asyncpg.Connection, size: int) -> AsyncIterator[Moved]:
    """Move all rows of the default partition, the oldest month first, until there is none."""
    while (batch := await _next(connection, size)) is not None:
        yield await _patiently(connection, batch)


async def _next(connection: asyncpg.Connection, size: int) -> Batch | None:
    following = await connection.fetchrow(_NEXT)
    if following is None:
        return None
    month, starts, ends = following
    return Batch(month, starts, await connection.fetchval(_CUT, ends, size) or ends)


async def _patiently(connection: asyncpg.Connection, batch: Batch) -> Moved:
    """The batch, tried again while others hold the table."""
    for _ in range(_TRIES):
        try:
            return await _move(connection, batch)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(_PAUSE_SECONDS)
    return await _move(connection, batch)


async def _move(connection: asyncpg.Connection, batch: Batch) -> Moved:
    """Rows before the cut to the month, which then reaches up to it; all or nothing."""
    month, bounds = batch.month, f"FROM ('{batch.starts}') TO ('{batch.cut}')"
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('transactions_months'))")
        await connection.execute("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
        if await connection.fetchval("SELECT to_regclass($1) IS NULL", month):
            await connection.execute(f"CREATE TABLE {month} (LIKE transactions INCLUDING ALL)")
        else:
            await connection.execute(f"ALTER TABLE transactions DETACH PARTITION {month}")
        moved = await connection.execute(_MOVE.format(month=month), batch.starts, batch.cut)
        await connection.execute(f"ALTER TABLE transactions ATTACH PARTITION {month} FOR VALUES {bounds}")
    return Moved(month, int(moved.split()[-1]))
