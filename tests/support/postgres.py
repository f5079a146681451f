"""What another session does to the tables meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def locked(database: str, *tables: str) -> AsyncIterator[asyncpg.Connection]:
    """Nobody else can read these tables while inside."""
    connection = await asyncpg.connect(database, server_settings={"lock_timeout": "5s"})
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            yield connection
    finally:
        await connection.close()
