"""Another session that keeps tables to itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import psutil
import pytest

from tests.support.serving import PATIENCE
from tests.support.standing_still import standing_still


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


@asynccontextmanager
async def hanging(database: str, application: str) -> AsyncIterator[None]:
    """The server's processes that serve this application's connections stand still, until the block ends."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            application,
        )
        processes = [psutil.Process(row["pid"]) for row in rows]
        assert processes
        assert {process.name() for process in processes} == {"postgres"}
    except psutil.NoSuchProcess:
        pytest.skip("Postgres runs on another machine, or in a container")
    finally:
        await connection.close()
    with standing_still(*processes):
        yield
