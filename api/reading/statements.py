"""The SQL of rows and users. Values are bound parameters; no statement holds a caller's text.

Pages are keyset pages: they start after a row, not at a row number, so a row that is inserted between two
pages makes no other row appear twice or go missing. Exports are read in the same way, in chunks that are
bounded in bytes and in the rows that are looked at.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from api.reading.cursors import RowKey
from schemas.checks import OPTIONAL

# As the worker writes it: the fraction of a second is there in full or, when it is none, not at all.
TIME = """CASE WHEN t.txn_date::timestamptz(0) = t.txn_date
    THEN to_char(t.txn_date, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    ELSE to_char(t.txn_date, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END"""

_OPTIONAL = [f"t.{name}" for name in OPTIONAL]
# A column that is NULL makes all of its text NULL, which `concat` leaves out.
_OPTIONAL_JSON = ", ".join(f"""',"{column[2:]}":' || to_json({column})""" for column in _OPTIONAL)

# Postgres writes the rows' JSON: a page arrives as one text, which costs this process a quarter of the time
# of 100 records of seven columns (docs/decisions.md).
_FIELDS = f"""'{{"id":"' || t.id || '","user_id":"' || t.user_id || '","amount":"' || t.amount
    || '","currency":' || to_json(t.currency) || ',"txn_date":"' || {TIME}
    || '","status":' || to_json(t.status) || ',"meta_data":' || t.meta_data
    || concat({_OPTIONAL_JSON})"""
_JSON = f"{_FIELDS} || '}}'"
_NEWEST_LABEL = """(
    SELECT l.label FROM labels AS l WHERE (l.id, l.txn_date, l.user_id) = (t.id, t.txn_date, t.user_id)
    ORDER BY l.seq DESC LIMIT 1
)"""
LABELLED = f"""{_FIELDS} || concat(',"label":"' || {_NEWEST_LABEL} || '"') || '}}'"""


def _csv(text: Callable[[str], str]) -> str:
    """The cells of a row; `text` is what writes a column of the producer's words."""
    currency, status, meta_data, *more = (
        f"""'"' || replace({cell}, '"', '""') || '"'"""
        for cell in ("t.currency", text("t.status"), "t.meta_data::text", *map(text, _OPTIONAL))
    )
    return f"""t.id || ',' || t.user_id || ',' || t.amount || ',' || {currency} || ',' || {TIME}
    || ',' || {status} || ',' || {meta_data} || concat({", ".join(f"',', {cell}" for cell in more)})"""


def _safe(column: str) -> str:
    """A spreadsheet runs a text that begins so.

    The apostrophe before it is one more where there are some already, so that a reader who takes one away has
    the text as it was.
    """
    return rf"""CASE WHEN {column} ~ '^''*[-=+@\t\r\n]' THEN '''' ELSE '' END || {column}"""


# ORDER BY is the index's order, so that nothing is sorted; oldest first is the same, read backwards.
_ROWS = """
SELECT {columns}
FROM transactions AS t
WHERE {where}
ORDER BY {order}
LIMIT {limit}"""
_NEWEST_FIRST = ("t.txn_date DESC", "t.id", "t.user_id")
_OLDEST_FIRST = ("t.txn_date", "t.id DESC", "t.user_id DESC")

_PAGE = f"""string_agg({_JSON}, ','), count(*), (array_agg(t.txn_date))[count(*)],
    (array_agg(t.id::text))[count(*)], (array_agg(t.user_id::text))[count(*)]"""

# A row that the filters exclude has no line: it is looked at, and the next chunk starts after it. Whether a
# row is taken depends on the bytes before it, so at least one is.
_CHUNK = """
SELECT convert_to(string_agg(line, ''), 'UTF8'), count(line), count(*), (array_agg(txn_date))[count(*)],
       (array_agg(id))[count(*)]::text, (array_agg(user_id))[count(*)]::text
FROM (
    SELECT line, txn_date, id, user_id, coalesce(sum(octet_length(line)) OVER before, 0) AS bytes,
           count(line) OVER before AS lines
    FROM ({rows}) AS t
    WINDOW before AS (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS t
WHERE {bounds}"""

ROWS_BY_KEY = f"""
SELECT k.number, {_JSON}
FROM ROWS FROM (json_to_recordset($1::json) AS (id uuid, txn_date timestamptz, user_id uuid))
    WITH ORDINALITY AS k (id, txn_date, user_id, number)
CROSS JOIN LATERAL (SELECT * FROM transactions AS t
    WHERE t.id = k.id AND t.txn_date = k.txn_date AND t.user_id = k.user_id LIMIT 1) AS t"""  # noqa: S608 - all of it is this module's
"""Rows by keys in JSON, each with the number of its key, from 1; `LIMIT` has each looked for by the index."""

_USERS = """
SELECT user_id::text FROM users AS u
WHERE {where}
ORDER BY u.user_id
LIMIT {limit}"""

# Spelled as in the partial indexes, so that the planner sees that they serve.
FLAGGED = "(t.meta_data ->> 'is_anomaly') = 'true'"
_UNFLAGGED = "(t.meta_data ->> 'is_anomaly') IS DISTINCT FROM 'true'"

Shape = Literal["ndjson", "csv", "raw_csv"]
_LINES = {
    "ndjson": rf"{_JSON} || E'\n'",
    "csv": rf"{_csv(_safe)} || E'\r\n'",  # RFC 4180
    "raw_csv": rf"{_csv(str)} || E'\r\n'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows, and in which order; both dates are included, None leaves a side open."""

    user_id: str | None = None
    id_prefix: tuple[str, str] | None = None
    """The first id that begins so, and the last."""
    from_date: datetime | None = None
    to_date: datetime | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    is_anomaly: bool | None = None
    status: str | None = None
    currency: str | None = None
    merchant_id: str | None = None
    card_id: str | None = None
    country: str | None = None
    channel: str | None = None
    ascending: bool = False

    @property
    def order(self) -> tuple[str, ...]:
        """Of the rows: the whole of it, by three columns."""
        return _OLDEST_FIRST if self.ascending else _NEWEST_FIRST


_EQUAL = ("status", "currency", *OPTIONAL)


class _Values(list[Any]):
    """The bound values of one statement."""

    def bind(self, value: Any) -> str:
        """The placeholder that stands for this value."""
        self.append(value)
        return f"${len(self)}"


def page_statement(filters: Filters, after: RowKey | None, limit: int) -> tuple[str, list[Any]]:
    """The statement of one page, which is one record, and the values to bind."""
    rows, values = rows_statement("t.*", filters, after, limit)
    return f"SELECT {_PAGE} FROM ({rows}) AS t", values  # noqa: S608 - all of it is this module's


def rows_statement(columns: str, filters: Filters, after: RowKey | None, limit: int) -> tuple[str, list[Any]]:
    """The statement of these columns of rows in order, and the values to bind."""
    values = _Values()
    conditions = [*_range(filters, after, values), *_others(filters, values)]
    return _rows(columns, conditions, filters, limit, values), values


def known_as_statement(
    row_id: str, user_id: str | None, txn_date: datetime | None, limit: int
) -> tuple[str, list[Any]]:
    """The statement of the rows of one id, newest first, and the values to bind."""
    values = _Values()
    given = {"id": row_id, "user_id": user_id, "txn_date": txn_date}
    wanted = [f"t.{name} = {values.bind(value)}" for name, value in given.items() if value is not None]
    columns = f"{LABELLED}, t.txn_date, t.id::text, t.user_id::text"
    return _rows(columns, wanted, Filters(), limit, values), values


def chunk_statement(
    shape: Shape, filters: Filters, after: RowKey | None, *, rows: int, limit: int | None, most_bytes: int
) -> tuple[str, list[Any]]:
    """The statement of the next lines of an export, which is one record, and the values to bind.

    Ends with the row that brings the lines to `most_bytes` or to `limit`, or after `rows` rows, with or
    without a line: an index serves the range alone, and the rows that pass the other filters may be rare.
    """
    values = _Values()
    wanted = " AND ".join(_others(filters, values)) or "true"
    columns = f"t.txn_date, t.id, t.user_id, CASE WHEN {wanted} THEN {_LINES[shape]} END AS line"
    looked_at = _rows(columns, _range(filters, after, values), filters, rows, values)
    bounds = f"bytes < {values.bind(most_bytes)}"
    if limit is not None:
        bounds += f" AND lines < {values.bind(limit)}"
    # Of one user's rows Postgres does not see here that they are in the whole order: it would sort them.
    order = ", ".join(filters.order[: 2 if filters.user_id else 3])
    return _CHUNK.format(rows=looked_at, order=order, bounds=bounds), values


def _rows(columns: str, conditions: Iterable[str], filters: Filters, limit: int, values: _Values) -> str:
    where, order = " AND ".join(conditions) or "true", ", ".join(filters.order)
    return _ROWS.format(columns=columns, where=where, order=order, limit=values.bind(limit))


def _range(filters: Filters, after: RowKey | None, values: _Values) -> Iterator[str]:
    """The conditions that one index serves: a user's rows, the flagged ones among them, or those of all."""
    if filters.user_id is not None:
        yield f"t.user_id = {values.bind(filters.user_id)}"
    if filters.is_anomaly:
        yield FLAGGED
    if filters.from_date is not None:
        yield f"t.txn_date >= {values.bind(filters.from_date)}"
    if filters.to_date is not None:
        yield f"t.txn_date <= {values.bind(filters.to_date)}"
    if after is not None:
        when, last = values.bind(after.txn_date), f"({values.bind(after.id)}, {values.bind(after.user_id)})"
        further, on = (">", "<") if filters.ascending else ("<", ">")
        # Date and the rest are in opposite orders, which no row comparison expresses.
        # The first condition follows from the second; it is there because an index scan can start at it.
        beyond = f"t.txn_date {further} {when} OR (t.id, t.user_id) {on} {last}"
        yield f"t.txn_date {further}= {when} AND ({beyond})"


def _others(filters: Filters, values: _Values) -> Iterator[str]:
    """The conditions on the other columns."""
    if filters.min_amount is not None:
        yield f"t.amount >= {values.bind(filters.min_amount)}"
    if filters.max_amount is not None:
        yield f"t.amount <= {values.bind(filters.max_amount)}"
    if filters.is_anomaly is False:
        yield _UNFLAGGED
    if filters.id_prefix is not None:
        first, last = map(values.bind, filters.id_prefix)
        yield f"t.id BETWEEN {first} AND {last}"
    for name in _EQUAL:
        if (wanted := getattr(filters, name)) is not None:
            yield f"t.{name} = {values.bind(wanted)}"


def users_statement(
    limit: int, *, after: str | None = None, first: str | None = None, last: str | None = None
) -> tuple[str, list[Any]]:
    """The statement of user ids in order, after one, or from one to another, and the values to bind."""
    values = _Values()
    bounds = ((">", after), (">=", first), ("<=", last))
    where = [f"u.user_id {sign} {values.bind(user)}" for sign, user in bounds if user is not None]
    return _USERS.format(where=" AND ".join(where) or "true", limit=values.bind(limit)), values
