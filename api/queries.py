"""Every SQL statement of the API. Values are bound parameters; no statement holds a caller's text.

Pages are keyset pages: they start at a position, not at a row number, so a row inserted
meanwhile makes no other row appear twice or go missing. Exports are read in the same way, in
stretches that are bounded in bytes and in the rows that are looked at.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Self

import asyncpg

from api.cursors import Position
from api.problems import Unavailable

# As the worker writes it: the fraction of a second is there in full or, when it is none, not at all.
_TIME = """CASE WHEN t.txn_date::timestamptz(0) = t.txn_date
    THEN to_char(t.txn_date, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    ELSE to_char(t.txn_date, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END"""

# Postgres writes the rows' JSON: a page is one text for us, which costs this process a quarter of
# what 100 records of seven columns do (docs/decisions.md).
_JSON = f"""'{{"id":"' || t.id || '","user_id":"' || t.user_id || '","amount":"' || t.amount
    || '","currency":' || to_json(t.currency) || ',"txn_date":"' || {_TIME}
    || '","status":' || to_json(t.status) || ',"meta_data":' || t.meta_data || '}}'"""

_CSV = f"""t.id || ',' || t.user_id || ',' || t.amount || ',' || {{currency}} || ',' || {_TIME}
    || ',' || {{status}} || ',' || {{meta_data}}""".format(
    **{
        column: f"""'"' || replace(t.{column}::text, '"', '""') || '"'"""
        for column in ("currency", "status", "meta_data")
    }
)

# ORDER BY is the index's order, so that nothing is sorted.
_ROWS = """
SELECT {columns}
FROM transactions AS t
WHERE {where}
ORDER BY t.txn_date DESC, t.id
LIMIT {limit}"""

# The rows come in order, so the last one's date is the least of them.
_PAGE = f"string_agg({_JSON}, ','), count(*), min(t.txn_date), (array_agg(t.id::text))[count(*)]"

# Rows that are not wanted have no line: they are looked at, and the position moves past them.
# What has come before a row decides whether it is taken, so at least one is.
_STRETCH = """
SELECT convert_to(string_agg(line, ''), 'UTF8'), count(line), count(*), min(txn_date),
       (array_agg(id))[count(*)]::text
FROM (
    SELECT line, txn_date, id, coalesce(sum(octet_length(line)) OVER before, 0) AS bytes,
           count(line) OVER before AS lines
    FROM ({rows}) AS t
    WINDOW before AS (ORDER BY txn_date DESC, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS t
WHERE {bounds}"""

_USERS = """
SELECT user_id::text FROM users AS u
WHERE {where}
ORDER BY u.user_id
LIMIT {limit}"""

# Spelled as in the partial indexes, so that the planner sees that they serve.
_FLAGGED = "(t.meta_data ->> 'is_anomaly') = 'true'"
_UNFLAGGED = "(t.meta_data ->> 'is_anomaly') IS DISTINCT FROM 'true'"

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


Shape = Literal["ndjson", "csv"]
_LINES = {"ndjson": rf"{_JSON} || E'\n'", "csv": rf"{_CSV} || E'\r\n'"}  # RFC 4180


class TooLong(Unavailable):
    """The statement was given up at the time that one may take."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON texts with commas between them, how many they are, and the last one's place."""

    rows: str
    count: int
    last: Position | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of an export: its lines in UTF-8, how many, the rows looked at, and the last one's place."""

    text: bytes
    lines: int
    seen: int
    last: Position


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


Bind = Callable[[Any], str]


def page_statement(filters: Filters, after: Position | None, limit: int) -> tuple[str, list[Any]]:
    """The statement of one page, which is one record, and the values to bind."""
    rows, values = rows_statement("t.*", filters, after, limit)
    return f"SELECT {_PAGE} FROM ({rows}) AS t", values  # noqa: S608  # all of it is this module's


def rows_statement(
    columns: str, filters: Filters, after: Position | None, limit: int
) -> tuple[str, list[Any]]:
    """The statement of these columns of rows in order, and the values to bind."""
    arguments = _Arguments()
    conditions = [*_range(filters, after, arguments.bind), *_others(filters, arguments.bind)]
    return _rows(columns, conditions, limit, arguments.bind), arguments.values


def stretch_statement(
    shape: Shape, filters: Filters, after: Position | None, *, rows: int, limit: int | None, most_bytes: int
) -> tuple[str, list[Any]]:
    """The statement of the next lines of an export, which is one record, and the values to bind.

    Ends with the row that brings the lines to so many bytes or to `limit`, or once it has looked at
    `rows` rows, wanted or not: an index serves the range alone, and nothing says how rare the others are.
    """
    arguments = _Arguments()
    bind = arguments.bind
    wanted = " AND ".join(_others(filters, bind)) or "true"
    columns = f"t.txn_date, t.id, CASE WHEN {wanted} THEN {_LINES[shape]} END AS line"
    looked_at = _rows(columns, list(_range(filters, after, bind)), rows, bind)
    bounds = f"bytes < {bind(most_bytes)}" + (f" AND lines < {bind(limit)}" if limit is not None else "")
    return _STRETCH.format(rows=looked_at, bounds=bounds), arguments.values


def _rows(columns: str, conditions: Sequence[str], limit: int, bind: Bind) -> str:
    where = " AND ".join(conditions) or "true"
    return _ROWS.format(columns=columns, where=where, limit=bind(limit))


def _range(filters: Filters, after: Position | None, bind: Bind) -> Iterator[str]:
    """The conditions that one index serves: a user's rows, the flagged ones among them, or those of all."""
    if filters.user_id is not None:
        yield f"t.user_id = {bind(filters.user_id)}"
    if filters.is_anomaly:
        yield _FLAGGED
    if filters.from_date is not None:
        yield f"t.txn_date >= {bind(filters.from_date)}"
    if filters.to_date is not None:
        yield f"t.txn_date <= {bind(filters.to_date)}"
    if after is not None:
        when, last = bind(after.txn_date), bind(after.id)
        # The order's directions differ, which no row comparison says. The first condition is implied
        # by the second, and is what an index scan can start at.
        yield f"t.txn_date <= {when} AND (t.txn_date < {when} OR t.id > {last})"


def _others(filters: Filters, bind: Bind) -> Iterator[str]:
    """The conditions on what else a row holds."""
    if filters.min_amount is not None:
        yield f"t.amount >= {bind(filters.min_amount)}"
    if filters.max_amount is not None:
        yield f"t.amount <= {bind(filters.max_amount)}"
    if filters.is_anomaly is False:
        yield _UNFLAGGED


_FIRST_ROWS, _MOST_ROWS = 1000, 16_000
_STRETCH_BYTES = 1 << 20
_LONG_SECONDS = 1.0
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def _exact_times(connection: asyncpg.Connection) -> None:
    """Times as microseconds: asyncpg's own form turns the first and the last moment into infinities."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda moment: ((moment - _POSTGRES_EPOCH) // _MICROSECOND,),
        decoder=lambda micros: _POSTGRES_EPOCH + micros[0] * _MICROSECOND,
    )


def _next_rows(stretch: Stretch, rows: int, seconds: float) -> int:
    """How many rows the next stretch looks at: as many as should fit, and fewer if they come slowly.

    What does not fit is put together in vain, and each statement has a cost.
    """
    if seconds > _LONG_SECONDS:
        return max(rows // 4, 1)
    fit = 1 + stretch.seen * _STRETCH_BYTES // max(len(stretch.text), 1)
    return min(fit, 2 * rows, _MOST_ROWS)


async def _as_it_is(_: asyncpg.Connection) -> None:
    """Nothing here changes a session, so putting it back would be a round trip a request for nothing."""


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
        milliseconds = str(int(self._query_seconds * 1000))
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            timeout=self._connect_seconds,
            # The server gives a statement up by itself; this is for one that no longer answers.
            command_timeout=self._query_seconds + self._connect_seconds,
            init=_exact_times,
            reset=_as_it_is,
            server_settings={
                "application_name": "txnwatch-api",
                "default_transaction_read_only": "on",
                "jit": "off",
                "statement_timeout": milliseconds,
                "timezone": "UTC",  # what times are written in
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.terminate()  # what still runs is only a read

    async def page(self, filters: Filters, after: Position | None, limit: int) -> Page:
        """At most `limit` rows after the position, newest first, ties by id."""
        [[rows, count, txn_date, row_id]] = await self._fetch(*page_statement(filters, after, limit))
        return Page(rows, count, Position(txn_date, row_id)) if count else Page("", 0, None)

    async def export(
        self, shape: Shape, filters: Filters, after: Position | None, limit: int | None
    ) -> AsyncGenerator[bytes, None]:
        """The lines of all rows after the position, or of `limit`, as paging through them would show.

        In stretches of a MiB and a row at the most, some of them empty. Each is a statement of its own:
        between two there is neither a transaction nor a connection. A row that is there all the while
        comes once, one that is inserted meanwhile once or not at all.
        """
        rows, start = _FIRST_ROWS, after
        while limit is None or limit > 0:
            began = time.monotonic()
            statement = stretch_statement(
                shape, filters, after, rows=rows, limit=limit, most_bytes=_STRETCH_BYTES
            )
            try:
                stretch = await self._stretch(*statement)
            except TooLong:
                if rows == 1 or after == start:
                    raise
                rows = max(rows // 4, 1)  # these are longer than those before
                continue
            if stretch is None:
                return
            rows = _next_rows(stretch, rows, time.monotonic() - began)
            yield stretch.text
            after = stretch.last
            limit = None if limit is None else limit - stretch.lines

    async def _stretch(self, statement: str, values: Sequence[Any]) -> Stretch | None:
        """None after the last row."""
        [[text, lines, seen, txn_date, row_id]] = await self._fetch(statement, values)
        return Stretch(text or b"", lines, seen, Position(txn_date, row_id)) if seen else None

    async def users(self, after: str | None, limit: int) -> list[str]:
        """At most `limit` user ids after this one, in their order."""
        arguments = _Arguments()
        where = "true" if after is None else f"u.user_id > {arguments.bind(after)}"
        statement = _USERS.format(where=where, limit=arguments.bind(limit))
        return [record[0] for record in await self._fetch(statement, arguments.values)]

    async def users_between(self, first: str, last: str, limit: int) -> list[str]:
        """At most `limit` user ids from `first` to `last`, both included, in their order."""
        arguments = _Arguments()
        where = f"u.user_id BETWEEN {arguments.bind(first)} AND {arguments.bind(last)}"
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
            raise TooLong("postgres", "The query took too long.") from error
        except _DOWN as error:
            raise Unavailable("postgres", "Postgres does not answer.") from error
