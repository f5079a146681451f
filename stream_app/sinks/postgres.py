"""Step 4: rows into Postgres, guarded by the partition's epoch."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncpg

from infra.database import check_database, rights
from infra.runtime.cli_errors import StopError
from infra.runtime.postgres import SESSION, check_session, is_transient
from infra.runtime.retry import retried
from schemas.transaction import Transaction
from stream_app.batch import Lost, LostPartitionError
from stream_app.scoring import Verdict
from stream_app.scoring.filling import Filling
from stream_app.sinks.copy_format import columns_of, copy_chunks
from stream_app.sinks.owners import claim_rows
from stream_app.sinks.row_changes import Change, RowChanges, json_array, placed

T = TypeVar("T")
Advance = tuple[str, str, int, int]  # app id, topic, partition, and the next offset that a batch brings it to
Store = Callable[[asyncpg.Connection, Sequence[Verdict], Advance, int], Awaitable[int]]
"""Store rows with their source and advance the offset; how many rows were new."""

# Postgres ends the session, and with it the lock, of a worker that is frozen or whose host is gone, so that
# the next owner waits for at most 20 s.
LIMITS = {
    **SESSION,
    "application_name": "txnwatch-worker",
    "idle_in_transaction_session_timeout": "15s",
    "statement_timeout": "20s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_SQL = {path.stem: path.read_text() for path in (Path(__file__).parent / "sql").glob("*.sql")}
TAKE_OVER, LOCK, MERGE, REVISE = _SQL["take_over"], _SQL["lock"], _SQL["merge"], _SQL["revise"]
NOBODY = None, None
"""In place of an epoch and an offset: the rows are whoever's who has the row of the partition locked."""
NEXT_OFFSETS = "SELECT partition, next_offset FROM sink_offsets WHERE app_id = $1 AND topic = $2"
_ONE = "app_id = $1 AND topic = $2 AND partition = $3"
_REMEMBER = f"UPDATE sink_offsets SET topics = $4 WHERE {_ONE} AND topics <> $4"  # noqa: S608 - a constant
_APPLIED = """
INSERT INTO decisions_applied (app_id, topic, partition, seq, from_offset)
SELECT $1, $2, $3, seq, $5 FROM unnest($4::bigint[]) AS seq ON CONFLICT DO NOTHING
"""
_HOLD = """
INSERT INTO settings_held AS held (app_id, topic, partition, from_offset, rows_to, settings)
SELECT app_id, topic, partition, $4, next_offset, $5::jsonb FROM sink_offsets
WHERE app_id = $1 AND topic = $2 AND partition = $3 AND epoch = $6 AND $5::jsonb IS DISTINCT FROM (
    SELECT settings FROM settings_held AS former
    WHERE (former.app_id, former.topic, former.partition) = ($1, $2, $3) ORDER BY from_offset DESC LIMIT 1
)
ON CONFLICT (app_id, topic, partition, from_offset) DO UPDATE
SET settings = excluded.settings, rows_to = greatest(held.rows_to, excluded.rows_to)
"""
NEEDED = [
    *rights(("transactions", "users", "sink_offsets"), ("SELECT", "INSERT", "UPDATE")),
    *rights(("decisions_applied",), ("SELECT", "INSERT")),
    *rights(("transactions_replaced",), ("INSERT",)),
    *rights(("settings_held",), ("SELECT", "INSERT", "UPDATE")),
    *rights(("transactions",), ("DELETE",)),  # a revision may move its row
]
_FEW_ROWS = 100
_PAST_ROWS = 5_000
# A duplicate fails a whole COPY, and seldom comes alone: a topic that is sent again is all duplicates.
MERGED_AFTER_A_DUPLICATE = 50


class TakenOver(NamedTuple):
    """A partition's place in Postgres, as it was when it was taken over."""

    epoch: int
    next_offset: int
    topics: bytes = b""
    """Which topics the offset belongs to, as `remember` was given it; empty where that is not known."""


class LostRowsError(StopError):
    """Postgres no longer has rows that it had: going on would leave a gap."""


@dataclass(slots=True)
class PostgresRows:
    """The row sink. Transient errors are retried with backoff, for at most `retry_seconds`.

    Batches of more than `few_rows` are copied. A row that is stored already fails the whole COPY: the batch
    is then merged, and so are the partition's next ones.
    """

    pool: asyncpg.Pool
    topic: str
    _: KW_ONLY
    app_id: str
    share_rows: bool = False
    retry_seconds: float
    few_rows: int = _FEW_ROWS
    _to_merge: Counter[int] = field(default_factory=Counter, init=False)
    _reached: Counter[int] = field(default_factory=Counter, init=False)

    async def claim(self) -> None:
        """Return when Postgres answers, the database is one to write to, and its rows are this app's.

        Raises:
            DatabaseError: It is not: another version's, without a right, behind a pooler or not in UTF-8.
            SharedRowsError: The rows are another app's.
        """
        await self._retried(partial(check_database, self.pool, NEEDED))
        await self._retried(self._claim)

    async def take_over(self, partition: int) -> TakenOver:
        """Raise the partition's epoch, which shuts its former owner out."""
        self._reached[partition] = 0
        return await self._retried(partial(self._raise_epoch, partition))

    async def remember(self, partition: int, topics: bytes) -> None:
        """Keep which topics the partition's offset belongs to."""
        await self._retried(
            partial(self.pool.execute, _REMEMBER, self.app_id, self.topic, partition, topics.decode())
        )

    async def hold(self, partition: int, epoch: int, settings: str, from_offset: int) -> None:
        """Keep which settings verdicts depend on from an offset of the source on, where others held before.

        Nothing where the epoch is no longer ours, which shows as soon as anything is written.
        """
        place = self.app_id, self.topic, partition
        await self._retried(partial(self.pool.execute, _HOLD, *place, from_offset, settings, epoch))

    def expect(self, partition: int, finished: int) -> None:
        """Note up to which offset batches were finished: the next one checks that Postgres has their rows."""
        self._reached[partition] = finished

    async def write(self, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """Store the rows at or after the partition's next offset and advance it, all or nothing.

        A revision replaces its row, and moves it where the date is another. Returns how many rows were new.

        Raises:
            LostPartitionError: The epoch is no longer ours.
            LostRowsError: The partition's next offset was past what it is now.
        """

        async def attempt() -> int:
            if len(verdicts) > self.few_rows and self._to_merge[partition] == 0:
                try:
                    return await self._store(_copy, partition, epoch, verdicts, next_offset)
                except asyncpg.UniqueViolationError:
                    self._to_merge[partition] = MERGED_AFTER_A_DUPLICATE
            stored = await self._merge_at_once(partition, epoch, verdicts, next_offset)
            if stored is None:
                stored = await self._store(_merge, partition, epoch, verdicts, next_offset)
            self._to_merge[partition] = max(0, self._to_merge[partition] - 1)
            return stored

        stored = await self._retried(attempt)
        self._reached[partition] = max(next_offset, self._reached[partition])
        return stored

    async def note_applied(self, partition: int, epoch: int, seqs: Sequence[int], from_offset: int) -> None:
        """Keep from which offset of the source on these decisions hold; what is kept already stays.

        Raises:
            LostPartitionError: The epoch is no longer ours.
        """
        await self._retried(partial(self._note_applied, partition, epoch, seqs, from_offset))

    async def past(self, users: Sequence[str], since: datetime, begin: Callable[[], Filling]) -> Filling:
        """Have one that begins take in the rows of these users of this date and later, by date and id."""
        return await self._retried(partial(self._past, users, since, begin))

    async def _past(self, users: Sequence[str], since: datetime, begin: Callable[[], Filling]) -> Filling:
        filling = begin()
        async with self.pool.acquire() as connection, connection.transaction():
            cursor = await connection.cursor(_SQL["past"], users, since)
            while rows := await cursor.fetch(_PAST_ROWS):
                filling.add(map(_transaction, rows))
        return filling

    async def _note_applied(self, partition: int, epoch: int, seqs: Sequence[int], from_offset: int) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await self._lock(connection, partition, epoch)
            place = self.app_id, self.topic, partition
            await connection.execute(_APPLIED, *place, [*seqs], from_offset)

    async def _raise_epoch(self, partition: int) -> TakenOver:
        try:
            row = await self.pool.fetchrow(TAKE_OVER, self.app_id, self.topic, partition)
        except asyncpg.QueryCanceledError:  # the former owner still has the row locked
            await self.pool.execute(_SQL["end_frozen"])
            raise
        return TakenOver(row["epoch"], row["next_offset"], row["topics"].encode())

    async def _claim(self) -> None:
        async with self.pool.acquire() as connection:
            await claim_rows(connection, self.app_id, self.topic, shared=self.share_rows)

    async def _merge_at_once(
        self, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int
    ) -> int | None:
        """Store in one statement, by which a small batch waits for Postgres once in place of four times.

        None where nothing was stored: there are revisions, or `_store` has to say what is wrong.
        """
        if any([verdict.revision for verdict in verdicts]):  # noqa: C419 - a list is twice as fast
            return None
        advance, owner = (self.app_id, self.topic, partition, next_offset), (epoch, self._reached[partition])
        stored: int | None = await self.pool.fetchval(MERGE, *advance, _as_json(verdicts), *owner)
        return stored

    async def _store(
        self, store: Store, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int
    ) -> int:
        async with self.pool.acquire() as connection, connection.transaction():
            row = await self._lock(connection, partition, epoch)
            stored_offset, source = row["next_offset"], row["source"]
            fresh = [verdict for verdict in verdicts if verdict.offset >= stored_offset]
            advance = (self.app_id, self.topic, partition, next_offset)
            if not any([verdict.revision for verdict in fresh]):  # noqa: C419 - a list is twice as fast
                return await store(connection, fresh, advance, source)
            changes = RowChanges()
            new = [verdict for verdict in fresh if changes.add(Change.of(verdict))]
            stored = await store(connection, new, advance, source)
            await connection.execute(REVISE, *advance[:3], *changes.as_json())
            return stored

    async def _lock(self, connection: asyncpg.Connection, partition: int, epoch: int) -> asyncpg.Record:
        row = await connection.fetchrow(LOCK, self.app_id, self.topic, partition)
        if row is None or row["epoch"] != epoch:
            current = None if row is None else row["epoch"]
            lost = f"partition {partition}: our epoch is {epoch}, Postgres has {current}"
            raise LostPartitionError(lost, Lost.FENCED_BY_POSTGRES)
        self._check_rows(partition, row["next_offset"])
        return row

    def _check_rows(self, partition: int, stored_offset: int) -> None:
        """An offset is committed to Kafka, or noted here, only after Postgres has the rows before it."""
        if stored_offset < (reached := self._reached[partition]):
            raise LostRowsError(
                f"partition {partition}: Postgres should have rows up to offset {reached} and has them up to "
                f"{stored_offset}: it lost commits, as a promoted standby or a restored backup has, or was "
                "no sink for a while. `txnwatch rows restore` stores the rows again."
            )

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async def on_a_writable_server() -> T:
            try:
                return await attempt()
            except asyncpg.ReadOnlySQLTransactionError:  # a primary no more: its connections lead nowhere
                await self.pool.expire_connections()
                raise

        return await retried(on_a_writable_server, is_transient, what="Postgres", within=self.retry_seconds)


def _transaction(row: Sequence[Any]) -> Transaction:
    identity, user, amount, currency, date, status, *rest = row
    return Transaction(identity, user, int(amount), currency, date, status, None, 0, *rest)


def connect(url: str) -> asyncpg.Pool:
    """The worker's pool, one connection a partition at work; it connects when it is used.

    A session that a pooler took settings from is none of its connections: without its limits, one that is
    frozen would hold its row for ever.
    """
    options = {"init": check_session, "reset": _keep, "server_settings": LIMITS}
    return asyncpg.create_pool(url, min_size=0, max_size=16, command_timeout=60, **options)


async def _keep(connection: asyncpg.Connection) -> None:
    """Reset nothing: each use is one transaction, and changes nothing of the session."""


async def _copy(
    connection: asyncpg.Connection, verdicts: Sequence[Verdict], advance: Advance, source: int
) -> int:
    """Store rows that are all new; UniqueViolationError when one is not."""
    columns = columns_of(verdicts)
    await connection.copy_to_table(
        "transactions", source=_stream(verdicts, columns, source), format="binary", columns=columns
    )
    users = {verdict.transaction.user_id for verdict in verdicts}
    await connection.execute(_SQL["list_users"], *advance, " ".join(sorted(users)))
    return len(verdicts)


async def _merge(
    connection: asyncpg.Connection, verdicts: Sequence[Verdict], advance: Advance, _source: int
) -> int:
    return int(await connection.fetchval(MERGE, *advance, _as_json(verdicts), *NOBODY))


def _as_json(verdicts: Sequence[Verdict]) -> str:
    return json_array([placed(verdict.encoded()[0], verdict.offset) for verdict in verdicts])


async def _stream(verdicts: Sequence[Verdict], columns: Sequence[str], source: int) -> AsyncIterator[bytes]:
    for chunk in copy_chunks(verdicts, source, columns):
        yield chunk
