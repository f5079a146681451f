"""A line of the audit trail."""

import asyncpg

_NOTE = "INSERT INTO access_log (who, what, whom) VALUES ($1, $2, $3)"


async def note(connection: asyncpg.Connection | asyncpg.Pool, who: str, what: str, whom: str) -> None:
    """Write it."""
    await connection.execute(_NOTE, who, what, whom)
