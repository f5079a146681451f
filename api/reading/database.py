"""Reads of Postgres: bounded in time and in bytes, over a few connections."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import asyncpg

from api.reading.buckets import Buckets, buckets_statement
from api.reading.changes import SINCE, ChangedRows, changed_rows, changes_statement
from api.reading.cursors import ChangePlace, RowKey
from api.reading.statements import (
    Filters,
    Shape,
    chunk_statement,
    known_as_statement,
    page_statement,
    users_statement,
)
from api.settings import Settings
from api.web.problems import Unavailable
from infra.database import check_database, rights
from infra.runtime.postgres import SESSION, DatabaseError, is_transient, reason

T = TypeVar("T")

_READ = ("transactions", "users", "labels", "transactions_gone", "change_times", "transaction_hours")
_NEEDED = rights(_READ, ("SELECT",))
_FIRST_ROWS, _MOST_ROWS = 1000, 16_000
_CHUNK_BYTES = 1 << 20
_LONG_SECONDS = 1.0
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TooLong(Unavailable):
    """The statement was cancelled at the time that one may take."""


@dataclass(frozen=True, slots=True)
class RowsPage:
    """Rows as JSON texts with commas between them, how many they are, and the last one's place."""

    rows: str
    count: int
    last: RowKey | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an export: its lines in UTF-8, how many, the rows looked at, and the last one's place."""

    text: bytes
    lines: int
    seen: int
    last: RowKey


async def _exact_times(connection: asyncpg.Connection) -> None:
    """Times as microseconds: asyncpg's own form turns the first and the last moment into infinities."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda moment: ((moment - _POSTGRES_EPOCH) // _MICROSECOND,),
        decoder=lambda micros: _POSTGRES_EPOCH + micros[0] * _MICROSECOND,
    )


def _next_rows(chunk: Chunk, rows: int, seconds: float) -> int:
    """How many rows the next chunk looks at: as many as should fit, and fewer if they come slowly.

    Rows beyond what fits are formatted for nothing, and each further statement costs a round trip.
    """
    if seconds > _LONG_SECONDS:
        return max(rows // 4, 1)
    fit = 1 + chunk.seen * _CHUNK_BYTES // max(len(chunk.text), 1)
    return min(fit, 2 * rows, _MOST_ROWS)


async def _no_reset(_: asyncpg.Connection) -> None:
    """Nothing here changes a session: resetting it would cost each request a second round trip."""


class Database:
    """Bounded reads of Postgres; connects when asked, and again after it was away.

    Every method raises Unavailable while Postgres is down, too slow or not migrated.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._given_up: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        # With no connection to open at first, the pool can be made while Postgres is away.
        settings = self._settings
        self._pool = await asyncpg.create_pool(
            settings.postgres.get_secret_value(),
            min_size=0,
            max_size=settings.database_connections,
            timeout=settings.dependency_seconds,
            command_timeout=settings.query_seconds,
            init=_exact_times,
            reset=_no_reset,
            server_settings={
                **SESSION,
                "application_name": "txnwatch-api",
                "default_transaction_read_only": "on",
                "jit": "off",
                # A little less than an answer is waited for: a server that answers cancels its statement
                # first, and the connection stays good.
                "statement_timeout": str(max(int(settings.query_seconds * 950), 1)),
                "timezone": "UTC",  # the zone that times are written in
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.terminate()  # statements that still run are only reads

    @property
    def connections(self) -> tuple[int, int]:
        """How many are open, and how many of them are in use."""
        size = self._pool.get_size()
        return size, size - self._pool.get_idle_size()

    async def page(self, filters: Filters, after: RowKey | None, limit: int) -> RowsPage:
        """At most `limit` rows after the position, in the order that is asked for."""
        [[rows, count, *last]] = await self._fetch(*page_statement(filters, after, limit))
        return RowsPage(rows, count, RowKey(*last)) if count else RowsPage("", 0, None)

    async def known_as(
        self, row_id: str, user_id: str | None, txn_date: datetime | None, limit: int
    ) -> list[tuple[str, RowKey]]:
        """At most `limit` rows of this id, newest first: each as JSON, with its label, and its place."""
        rows = await self._fetch(*known_as_statement(row_id, user_id, txn_date, limit))
        return [(row, RowKey(*place)) for row, *place in rows]

    async def buckets(self, asked: Buckets) -> tuple[str, int]:
        """Buckets as JSON texts with commas between, and how many they are."""
        [[buckets, count]] = await self._fetch(*buckets_statement(asked))
        return buckets, count

    async def changed_since(self, moment: datetime) -> ChangePlace:
        """The place before all that was not yet seen at a time."""
        [[transaction, walking]] = await self._fetch(SINCE, [moment])
        return ChangePlace(transaction, walking=walking)

    async def changes(self, place: ChangePlace, limit: int) -> ChangedRows:
        """At most `limit` rows that changed after the place.

        Raises:
            AheadError: The database has been set back since the place was given out.
        """
        [record] = await self._fetch(*changes_statement(place, limit))
        return changed_rows(record, place, limit)

    async def export(
        self, shape: Shape, filters: Filters, after: RowKey | None, limit: int | None
    ) -> AsyncGenerator[bytes, None]:
        """The lines of all rows after the position, or of `limit`, as paging through them would show.

        In chunks of a MiB and a row at most, some of them empty. Each is a statement of its own: between two
        there is neither a transaction nor a connection. A row that is there all the time comes once, one that
        is inserted during the export once or not at all.
        """
        rows, start = _FIRST_ROWS, after
        while limit is None or limit > 0:
            began = time.monotonic()
            statement = chunk_statement(
                shape, filters, after, rows=rows, limit=limit, most_bytes=_CHUNK_BYTES
            )
            try:
                chunk = await self._chunk(*statement)
            except TooLong:
                if rows == 1 or after == start:
                    raise
                rows = max(rows // 16, 1)  # these are longer than those before
                continue
            if chunk is None:
                return
            rows = _next_rows(chunk, rows, time.monotonic() - began)
            yield chunk.text
            after = chunk.last
            limit = None if limit is None else limit - chunk.lines

    async def _chunk(self, statement: str, values: Sequence[Any]) -> Chunk | None:
        """None after the last row."""
        [[text, lines, seen, *last]] = await self._fetch(statement, values)
        return Chunk(text or b"", lines, seen, RowKey(*last)) if seen else None

    async def users(
        self, limit: int, *, after: str | None = None, first: str | None = None, last: str | None = None
    ) -> list[str]:
        """At most `limit` user ids in order: after one, or from `first` to `last`, both included."""
        records = await self._fetch(*users_statement(limit, after=after, first=first, last=last))
        return [record[0] for record in records]

    async def check(self) -> None:
        """Return when Postgres answers and the database is one to read from."""
        async with self._connection() as connection:
            try:
                await check_database(connection, _NEEDED)
            except DatabaseError as error:
                raise Unavailable(f"Postgres: {error}.") from error

    async def _fetch(self, statement: str, values: Sequence[Any]) -> list[asyncpg.Record]:
        """The records, within `query_seconds` whatever Postgres does.

        Waiting for a place in the pool, for the answer, and for one to its cancellation took 16 s in all.
        """
        return list(await self.asked(lambda connection: connection.fetch(statement, *values)))

    async def asked(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """The answer to a question, in the same time."""
        asked = asyncio.create_task(self._answer(question))
        try:
            await asyncio.wait([asked], timeout=self._settings.query_seconds)
        finally:
            asked.cancel()  # without an effect once it is done
        if not asked.done():
            self._given_up.add(asked)
            asked.add_done_callback(self._given_up.discard)
            raise TooLong("The query took too long.")
        return asked.result()

    async def _answer(self, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            return await question(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._pool.acquire(timeout=self._settings.dependency_seconds) as connection:
                yield connection
        except asyncpg.UndefinedTableError as error:
            raise Unavailable("Postgres has no tables of ours: run `txnwatch migrate`.") from error
        except asyncpg.QueryCanceledError as error:
            raise TooLong("The query took too long.") from error
        except Exception as error:
            if not (why := reason(error)) and not is_transient(error):
                raise
            raise Unavailable(
                f"Postgres does not answer: {why}." if why else "Postgres does not answer."
            ) from error
