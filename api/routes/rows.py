# ruff: noqa: RUF009 - the calls declare fields, as dataclasses.field does
"""Rows: a user's transactions and everyone's flags, as pages of JSON or as exports."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec
from aiohttp import hdrs, web
from msgspec import UNSET, UnsetType

from api.reading.cache import QueryCache
from api.reading.cursors import Cursors, RowKey
from api.reading.database import Database
from api.reading.export import FORMATS, FORMS, Exports, chosen
from api.reading.statements import Filters
from api.web.params import (
    AMOUNT,
    COUNTRY,
    CURSOR,
    FLAG,
    FROM,
    TO,
    UUID,
    UUID_PREFIX,
    integer,
    one_of,
    path,
    query,
    text,
)
from api.web.problems import ParameterError, Problem
from api.web.route import Route, json_response, next_page
from schemas.fast_path import MAX_CHANNEL, MAX_IDENTIFIER, MAX_STATUS
from schemas.scored import Scored

_PAGE_ROWS = 100
_MOST_CHOICES = 100
_DEFAULT_RANGE = timedelta(days=30)
_SETTLED = timedelta(minutes=1)
"""How long after its end a range counts as closed."""

_FROM = (
    "The earliest txn_date, included. Without an offset it is UTC; a date alone is its first moment. "
    "Default: 30 days before to_date, or before now."
)
_TO = (
    "The latest txn_date, included. Without an offset it is UTC; a date alone is its last moment. "
    "Default: no end, so that transactions dated ahead are seen."
)
_CURSOR = (
    "The cursor of the page before. It holds for this user whatever the other filters are; "
    "empty: from the start."
)
_ORDER = "desc: newest first, ties by id and user. asc: exactly the reverse."
_LIMIT = "How many at most. Default: 100 in JSON, all in the other forms."
_FORMAT = "Whatever `Accept` says: a page of JSON, or an export as lines of JSON, CSV or Parquet."
_ESCAPE = (
    "In CSV, put an apostrophe before a text that a spreadsheet would run (one that begins with = + - @, a "
    "tab or a line end). false: as it is, for a program."
)
_BOM = "In CSV, begin with the mark by which Excel knows UTF-8."


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomalies:
    """A page of the flagged transactions."""

    user_id: str | None = query(UUID, "Only this user's.")
    id_prefix: tuple[str, str] | None = query(UUID_PREFIX, "Only those whose id begins so.", blank=True)
    from_date: datetime | None = query(FROM, _FROM)
    to_date: datetime | None = query(TO, _TO)
    status: str | None = query(text(MAX_STATUS, "paid"), "Only those of this status.")
    currency: str | None = query(text(3, "INR"), "Only those in this currency, as rows spell it.")
    merchant_id: str | None = query(text(MAX_IDENTIFIER, "m-4711"), "Only those of this merchant.")
    card_id: str | None = query(text(MAX_IDENTIFIER, "c-0815"), "Only those with this card.")
    country: str | None = query(COUNTRY, "Only those of this country, by its two letters in either case.")
    channel: str | None = query(text(MAX_CHANNEL, "web"), "Only those that came this way.")
    order: str = query(one_of("asc", "desc"), _ORDER, default="desc")
    limit: int | None = query(integer(1, 1000), _LIMIT)
    cursor: str | None = query(CURSOR, _CURSOR, blank=True)
    format: str | None = query(one_of(*FORMATS), _FORMAT)
    escape: bool = query(FLAG, _ESCAPE, default=True)
    bom: bool = query(FLAG, _BOM, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions(Anomalies):
    """A page of one user's transactions."""

    user_id: str = query(UUID, "The user.", required=True)
    min_amount: Decimal | None = query(AMOUNT, "The smallest amount, included.")
    max_amount: Decimal | None = query(AMOUNT, "The largest amount, included.")
    is_anomaly: bool | None = query(FLAG, "Only those flagged (true), or only the others (false).")


_SELECTING = frozenset({one.name for one in fields(Transactions)} & {one.name for one in fields(Filters)})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAs:
    """One transaction; user and date are needed where several have its id."""

    id: str = path(UUID, "The transaction.")
    user_id: str | None = query(UUID, "Whose it is.")
    txn_date: datetime | None = query(FROM, "Its txn_date, to the microsecond.")


class TransactionsPage(msgspec.Struct, frozen=True):
    """Rows in the order that is asked for; `cursor` is empty only when the page is.

    Describes the text that Postgres makes of a page.
    """

    transactions: list[Scored]
    cursor: str


_ROWS: dict[str, Any] = {
    "body": TransactionsPage,
    "exports": tuple(FORMS),
    "pages": True,
    "depends": True,
}
"""What both routes of rows have alike."""


def ranges_in_order(values: Mapping[str, Any]) -> Iterator[ParameterError]:
    """No range may end before it starts."""
    for low, high in (("from_date", "to_date"), ("min_amount", "max_amount")):
        start, end = values.get(low), values.get(high)
        if start is not None and end is not None and start > end:
            yield ParameterError(low, f"must not be above {high}")


def last_days(start: datetime | None, end: datetime | None, now: Callable[[], datetime]) -> datetime:
    """The start, by default 30 days before the end or now.

    They are counted from the whole minute: equal requests within a minute have equal filters, and so share
    one place in the cache.
    """
    if start is not None:
        return start
    newest = end or now().replace(second=0, microsecond=0)
    return newest - min(_DEFAULT_RANGE, newest - datetime.min.replace(tzinfo=UTC))


class LabelledRow(Scored):
    """One transaction, with what became known of it. Describes the text that Postgres makes of it."""

    label: Literal["fraud", "legitimate"] | UnsetType = UNSET


_NEXT = {"next_page": {"user_id": "$request.query.user_id", "cursor": "$response.body#/cursor"}}


@dataclass(frozen=True)
class RowRoutes:
    """`/transactions` and `/anomalies`."""

    database: Database
    cache: QueryCache
    cursors: Cursors
    exports: Exports
    now: Callable[[], datetime]

    def _fits_together(self, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        yield from ranges_in_order(values)
        if values.get("cursor") and "user_id" in values:
            try:
                self.cursors.to_row(values["user_id"], values["cursor"])
            except ValueError as refused:
                yield ParameterError("cursor", str(refused))

    @Route(
        "/transactions",
        "pages_transactions",
        parameters=Transactions,
        check=_fits_together,
        links=_NEXT,
        **_ROWS,
    )
    async def transactions(self, request: web.Request, query: Transactions) -> web.StreamResponse:
        """A user's transactions, newest first."""
        return await self._rows(request, self._filters(query), query)

    @Route("/anomalies", "pages_anomalies", parameters=Anomalies, check=_fits_together, **_ROWS)
    async def anomalies(self, request: web.Request, query: Anomalies) -> web.StreamResponse:
        """The flagged transactions of all users, newest first."""
        return await self._rows(request, replace(self._filters(query), is_anomaly=True), query)

    @Route(
        "/transactions/{id}",
        "pages_transaction",
        parameters=KnownAs,
        body=LabelledRow,
        depends=True,
        finds=True,
    )
    async def transaction(self, request: web.Request, query: KnownAs) -> web.Response:  # noqa: ARG002 - as all are
        """One transaction, by its id, with its label where it has one.

        Where several have the id, `choices` of the refusal says which, the newest first.
        """
        rows = await self.database.known_as(query.id, query.user_id, query.txn_date, _MOST_CHOICES)
        if not rows:
            raise Problem(404, "There is no such transaction.")
        if len(rows) > 1:
            raise _ambiguous([place for _, place in rows])
        return json_response(rows[0][0].encode())

    def _filters(self, query: Anomalies) -> Filters:
        given = {name: getattr(query, name) for name in _SELECTING if hasattr(query, name)}
        start = last_days(query.from_date, query.to_date, self.now)
        return Filters(**given | {"from_date": start, "ascending": query.order == "asc"})

    async def _rows(self, request: web.Request, filters: Filters, query: Anomalies) -> web.StreamResponse:
        """A page, or an export of all: as the client accepts them."""
        after = self.cursors.to_row(filters.user_id, query.cursor) if query.cursor else None
        limit, form = query.limit, chosen(request.headers.get(hdrs.ACCEPT, "*/*"), query.format)
        if form is None:
            return await self._page(request, filters, after, limit or _PAGE_ROWS)
        form = form.written(escape=query.escape, bom=query.bom)
        name = request.path.rpartition("/")[2]
        return await self.exports.send(
            request, form, name, lambda shape: self.database.export(shape, filters, after, limit)
        )

    async def _page(
        self, request: web.Request, filters: Filters, after: RowKey | None, limit: int
    ) -> web.Response:
        async def compute() -> bytes:
            """The body after a line that holds the cursor, where more may follow."""
            page = await self.database.page(filters, after, limit)
            cursor = self.cursors.of_row(filters.user_id, page.last) if page.last else ""
            more = cursor if page.count == limit else ""
            return f'{more}\n{{"transactions":[{page.rows}],"cursor":"{cursor}"}}'.encode()

        closed = filters.to_date is not None and filters.to_date < self.now() - _SETTLED
        if "no-cache" in request.headers.get(hdrs.CACHE_CONTROL, ""):
            answer = await compute()  # as RFC 9111 asks of a cache
        else:
            answer = await self.cache.answer((filters, after, limit), compute, closed=closed)
        more, _, body = answer.partition(b"\n")
        return json_response(body, {hdrs.VARY: hdrs.ACCEPT, **next_page(request, more.decode())})


def _ambiguous(places: Sequence[RowKey]) -> Problem:
    choices = [{"user_id": one.user_id, "txn_date": one.txn_date} for one in places]
    errors = [ParameterError("id", "several transactions have this id: name user_id and txn_date")]
    return Problem(422, "Not accepted: id.", errors=errors, extra={"choices": choices})
