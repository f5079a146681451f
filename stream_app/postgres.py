"""Step 4: rows into Postgres by COPY through a staging table, guarded by the partition's epoch."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import asyncpg

from stream_app.pgcopy import copy_chunks
from stream_app.pipeline import LostPartitionError
from stream_app.retry import retried
from stream_app.scoring import Verdict

T = TypeVar("T")

# Failures of the connection or the server that pass by themselves, and not of what was asked.
TRANSIENT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke while it was idle
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)

# A worker that is frozen, or whose host is gone, must not keep the next owner waiting for its lock.
SESSION = {
    "application_name": "txnwatch-worker",
    "idle_in_transaction_session_timeout": "15s",
    "statement_timeout": "20s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

STAGING = """
CREATE TEMP TABLE IF NOT EXISTS staging (
    id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, status text, meta_data jsonb
) ON COMMIT DELETE ROWS
"""
TAKE_OVER = """
INSERT INTO sink_offsets AS owned (topic, partition, epoch, next_offset) VALUES ($1, $2, 1, 0)
ON CONFLICT (topic, partition) DO UPDATE SET epoch = owned.epoch + 1
RETURNING epoch, next_offset
"""
LOCK = "SELECT epoch, next_offset FROM sink_offsets WHERE topic = $1 AND partition = $2 FOR UPDATE"
ADVANCE = """
UPDATE sink_offsets SET next_offset = greatest(next_offset, $3) WHERE topic = $1 AND partition = $2
"""
STORE = "INSERT INTO transactions SELECT * FROM staging ON CONFLICT DO NOTHING"
STORE_USERS = "INSERT INTO users (user_id) SELECT DISTINCT user_id FROM staging ON CONFLICT DO NOTHING"


class PostgresRows:
    """The row sink. Transient failures are retried in place, for `retry_seconds` at the most."""

    def __init__(self, pool: asyncpg.Pool, topic: str, *, retry_seconds: float) -> None:
        self._pool = pool
        self._topic = topic
        self._retry_seconds = retry_seconds

    async def take_over(self, partition: int) -> tuple[int, int]:
        """Raise the partition's epoch, which shuts its former owner out: (our epoch, its next offset)."""

        async def attempt() -> tuple[int, int]:
            row = await self._pool.fetchrow(TAKE_OVER, self._topic, partition)
            return row["epoch"], row["next_offset"]

        return await self._retried(attempt)

    async def write(self, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """Store the rows at or after the partition's next offset and advance it, all or nothing.

        Returns how many rows were new. Raises LostPartitionError when the epoch is no longer ours.
        """

        async def attempt() -> int:
            async with self._pool.acquire() as connection, connection.transaction():
                stored_offset = await self._lock(connection, partition, epoch)
                fresh = [verdict for verdict in verdicts if verdict.offset >= stored_offset]
                stored = await _store(connection, fresh) if fresh else 0
                await connection.execute(ADVANCE, self._topic, partition, next_offset)
                return stored

        return await self._retried(attempt)

    async def _lock(self, connection: asyncpg.Connection, partition: int, epoch: int) -> int:
        row = await connection.fetchrow(LOCK, self._topic, partition)
        if row is None or row["epoch"] != epoch:
            current = None if row is None else row["epoch"]
            raise LostPartitionError(f"partition {partition}: our epoch is {epoch}, Postgres has {current}")
        return int(row["next_offset"])

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await retried(attempt, _passes, what="Postgres", within=self._retry_seconds)


def connect(url: str) -> asyncpg.Pool:
    """The worker's pool, one connection a partition at work; it connects when entered."""
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=16,
        command_timeout=60,
        init=_prepare,
        reset=_keep,
        server_settings=SESSION,
    )


def _passes(error: Exception) -> bool:
    return isinstance(error, TRANSIENT)


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.execute(STAGING)


async def _keep(connection: asyncpg.Connection) -> None:
    """Nothing to reset: each use is one transaction, and the staging table empties at its end."""


async def _store(connection: asyncpg.Connection, verdicts: Sequence[Verdict]) -> int:
    await connection.copy_to_table("staging", source=_stream(verdicts), format="binary")
    tag = await connection.execute(STORE)
    await connection.execute(STORE_USERS)
    return int(tag.rsplit(" ", 1)[1])


async def _stream(verdicts: Iterable[Verdict]) -> AsyncIterator[bytes]:
    for chunk in copy_chunks(verdicts):
        yield chunk
