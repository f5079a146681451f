"""Another session that keeps tables to itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.support.serving import PATIENCE


@asynccontextmanager
async def locked(database: str, *tables: str) -> AsyncIterator[asyncpg.Connection]:
    """A session without which nothing can read these tables, until the block ends."""
    connection = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _lock(connection, tables):
                pass
        yield connection
        await connection.execute("ROLLBACK")
    finally:
        await connection.close()


async def _lock(connection: asyncpg.Connection, tables: tuple[str, ...]) -> bool:
    """False where Postgres ended this side of a deadlock: an API that has just started makes months."""
    await connection.execute("BEGIN")
    try:
        await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
    except asyncpg.DeadlockDetectedError:
        await connection.execute("ROLLBACK")
        return False
    return True
