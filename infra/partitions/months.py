"""Make months ahead and drop old ones: the functions of infra/postgres/002_months.sql."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from infra.runtime.postgres import SESSION, check_session

# Readers and writers queue behind a connection that waits for an exclusive lock, so it waits no longer than
# this.
LOCK_SECONDS = 2
_MAKE = "SELECT make_transactions_months($1)"
_DROP = """
WITH dropped AS (SELECT drop_transactions_months($1) AS name), noted AS (
    INSERT INTO access_log (who, what, whom)
    SELECT $2, 'months dropped', string_agg(name, ', ') FROM dropped HAVING count(*) > 0
)
SELECT name FROM dropped
"""


@asynccontextmanager
async def connected(url: str, *, seconds: float = 60.0, **options: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection whose dates are in UTC, with further settings of the session.

    Connecting and closing take `seconds` each at the most: a server that is frozen answers neither.

    Raises:
        DatabaseError: A pooler is between, or the database's text is not UTF-8.
    """
    settings = {**SESSION, "timezone": "UTC", **options}
    connection = await asyncpg.connect(url, timeout=seconds, server_settings=settings)
    try:
        await check_session(connection)
        yield connection
    finally:
        # Not close(timeout=…), which waits without end for the answer to a query that was cancelled.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connection.close()


async def ensure(connection: asyncpg.Connection, ahead: int) -> list[str]:
    """Make this month and `ahead` after it, unless they exist; the names made. Folds counts by hour, too."""
    await connection.execute("SELECT fold_transaction_hours()")
    return await _names(connection, _MAKE, ahead)


async def drop(connection: asyncpg.Connection, keep: int, who: str) -> list[str]:
    """Drop the months that ended `keep` months ago or earlier, with their rows; the names dropped.

    In the same transaction the audit trail notes who did it.
    """
    return await _names(connection, _DROP, keep, who)


async def _names(connection: asyncpg.Connection, call: str, *given: int | str) -> list[str]:
    # In no transaction: to roll one back, asyncpg would wait without end for a server that is frozen.
    await connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    return [record[0] for record in await connection.fetch(call, *given)]
