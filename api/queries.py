"""Every SQL statement of the API. Values are bound parameters; no statement holds a caller's text.

Pages are keyset pages: they start at a position, not at a row number, so a row inserted
meanwhile makes no other row appear twice or go missing.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

import asyncpg
import msgspec

from api.cursors import Position
from api.problems import Unavailable

# Ordinary columns come as the text that the row's JSON holds; the time is told by msgspec, as in
# the worker. ORDER BY names the table, or it would sort by the texts, and without an index.
_ROWS = """
SELECT id::text, user_id::text, amount::text, currency, txn_date, status, meta_data::text
FROM transactions AS t
WHERE {where}
ORDER BY t.txn_date DESC, t.id
LIMIT {limit}"""

_USERS = """
SELECT user_id::text FROM users AS u
WHERE {where}
ORDER BY u.user_id
LIMIT {limit}"""

_MIGRATED = "SELECT to_regclass('transactions') IS NOT NULL AND to_regclass('users') IS NOT NULL"

_DOWN = (
    OSError,  # TimeoutError among them
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.OperatorInterventionError,
)


class Row(msgspec.Struct, frozen=True):
    """One scored transaction in the shape of the topics; `meta_data` is JSON text as it is."""

    id: str
    user_id: str
    amount: str
    currency: str
    txn_date: datetime
    status: str
    meta_data: msgspec.Raw

    @property
    def position(self) -> Position:
        """Where this row stands in the order of the pages."""
        return Position(self.txn_date, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows; both dates are included, None leaves a side open."""

    user_id: str | None = None
    from_date: datetime | None = None
    to_date: datetime | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    is_anomaly: bool | None = None


@dataclass(slots=True)
class _Arguments:
    """The bound values of one statement."""

    values: list[Any] = field(default_factory=list)

    def bind(self, value: Any) -> str:
        """The placeholder that stands for this value."""
        self.values.append(value)
        return f"${len(self.values)}"


def rows_statement(filters: Filters, after: Position | None, limit: int) -> tuple[str, list[Any]]:
    """The statement of one page of rows, and the values to bind."""
    arguments = _Arguments()
    where = " AND ".join(_conditions(filters, after, arguments)) or "true"
    return _ROWS.format(where=where, limit=arguments.bind(limit)), arguments.values


def _conditions(filters: Filters, after: Position | None, arguments: _Arguments) -> Iterator[str]:
    bind = arguments.bind
    if filters.user_id is not None:
        yield f"t.user_id = {bind(filters.user_id)}"
    if filters.from_date is not None:
        yield f"t.txn_date >= {bind(filters.from_date)}"
    if filters.to_date is not None:
        yield f"t.txn_date <= {bind(filters.to_date)}"
    if filters.min_amount is not None:
        yield f"t.amount >= {bind(filters.min_amount)}"
    if filters.max_amount is not None:
        yield f"t.amount <= {bind(filters.max_amount)}"
    if filters.is_anomaly is not None:
        # Spelled as in the partial index, so that the planner sees that it serves.
        yield f"(t.meta_data ->> 'is_anomaly') {'=' if filters.is_anomaly else 'IS DISTINCT FROM'} 'true'"
    if after is not None:
        when, last = bind(after.txn_date), bind(after.id)
        # The order's directions differ, which no row comparison says. The first condition is implied
        # by the second, and is what an index scan can start at.
        yield f"t.txn_date <= {when} AND (t.txn_date < {when} OR t.id > {last})"


class Database:
    """Bounded reads of Postgres; connects when asked, and again after it was away.

    Every method raises Unavailable when Postgres is down, too slow or not migrated.
    """

    def __init__(self, url: str, *, connections: int, connect_seconds: float, query_seconds: float) -> None:
        self._url = url
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._query_seconds = query_seconds

    async def __aenter__(self) -> Self:
        # With no connection to open at first, the pool can be made while Postgres is away.
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            timeout=self._connect_seconds,
            command_timeout=self._query_seconds,
            server_settings={
                "application_name": "txnwatch-api",
                "default_transaction_read_only": "on",
                "jit": "off",
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.terminate()  # what still runs is only a read

    async def rows(self, filters: Filters, after: Position | None, limit: int) -> list[Row]:
        """At most `limit` rows after the position, newest first, ties by id."""
        records = await self._fetch(*rows_statement(filters, after, limit))
        return [
            Row(row_id, user, amount, currency, txn_date, status, msgspec.Raw(meta_data))
            for row_id, user, amount, currency, txn_date, status, meta_data in records
        ]

    async def users(self, after: str | None, limit: int) -> list[str]:
        """At most `limit` user ids after this one, in their order."""
        arguments = _Arguments()
        where = "true" if after is None else f"u.user_id > {arguments.bind(after)}"
        statement = _USERS.format(where=where, limit=arguments.bind(limit))
        return [record[0] for record in await self._fetch(statement, arguments.values)]

    async def check(self) -> None:
        """Returns when Postgres answers and holds our tables."""
        [[migrated]] = await self._fetch(_MIGRATED, [])
        if not migrated:
            raise Unavailable("postgres", "Postgres has no tables of ours: run `txnwatch migrate`.")

    async def _fetch(self, statement: str, values: Sequence[Any]) -> list[asyncpg.Record]:
        async with self._connection() as connection:
            records: list[asyncpg.Record] = await connection.fetch(statement, *values)
            return records

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._pool.acquire(timeout=self._connect_seconds) as connection:
                yield connection
        except asyncpg.UndefinedTableError as error:
            raise Unavailable(
                "postgres", "Postgres has no tables of ours: run `txnwatch migrate`."
            ) from error
        except asyncpg.QueryCanceledError as error:
            raise Unavailable("postgres", "The query took too long.") from error
        except _DOWN as error:
            raise Unavailable("postgres", "Postgres does not answer.") from error
