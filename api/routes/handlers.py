"""What each route does once its parameters are read."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import msgspec
from aiohttp import hdrs, web

from api.live.catch_up import CatchUp
from api.live.connections import Connections
from api.live.event_id import EventId
from api.live.feed import Feed
from api.metrics import CONTENT_TYPE as METRICS_TYPE
from api.metrics import Metrics
from api.reading.cache import QueryCache
from api.reading.cursors import Cursors, RowKey
from api.reading.database import Database
from api.reading.export import FORMS, Exports
from api.reading.statements import Filters
from api.reading.window_reader import WindowReader
from api.routes import parameters as inputs
from api.routes.answers import Dependency, Health, Readiness, UsersPage
from api.web.accept import preferred
from api.web.problems import Problem, Unavailable

ROW_MEDIA = ("application/json", *FORMS)
"""What rows can be had as; the first is what a client gets that does not say."""

_PAGE_ROWS = 100
_DEFAULT_RANGE = timedelta(days=30)
_SETTLED = timedelta(minutes=1)
"""How long after its end a range counts as closed."""
_NEEDED = frozenset({"postgres", "kafka"})
_NO_ANSWER = Dependency("down", "It did not answer in time.")


def _json(body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=body,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
    )


class Service:
    """How the process itself is."""

    def __init__(
        self, metrics: Metrics, checks: Mapping[str, Callable[[], Awaitable[None]]], *, seconds: float
    ) -> None:
        self._metrics = metrics
        self._checks = checks
        self._seconds = seconds

    async def health(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """Answers while the process lives, whatever else is down."""
        return _json(msgspec.json.encode(Health()))

    async def ready(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """Asks every dependency at once, and answers in good time whatever they do."""
        asked = {name: asyncio.create_task(_state(check)) for name, check in self._checks.items()}
        late = (await asyncio.wait(asked.values(), timeout=self._seconds))[1]
        for task in late:
            task.cancel()  # not waited for: giving a question up can take as long as the answer
        dependencies = {name: _NO_ANSWER if task in late else task.result() for name, task in asked.items()}
        down = [name for name, state in dependencies.items() if state.state == "down" and name in _NEEDED]
        if down:
            readiness = msgspec.to_builtins(Readiness(ready=False, dependencies=dependencies))
            raise Problem(503, f"Down: {', '.join(down)}.", headers={"Retry-After": "5"}, extra=readiness)
        return _json(msgspec.json.encode(Readiness(ready=True, dependencies=dependencies)))

    async def metrics(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """Everything that is counted."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": METRICS_TYPE})


async def _state(check: Callable[[], Awaitable[None]]) -> Dependency:
    try:
        await check()
    except Unavailable as down:
        return Dependency("down", down.detail)
    return Dependency("up")


class Pages:
    """Answers from Postgres and Redis."""

    def __init__(
        self,
        database: Database,
        windows: WindowReader,
        cache: QueryCache,
        cursors: Cursors,
        exports: Exports,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._windows = windows
        self._cache = cache
        self._cursors = cursors
        self._exports = exports
        self._now = now

    async def users(self, request: web.Request, query: inputs.Users) -> web.Response:
        """A page of the users."""
        after = self._cursors.to_user(query.cursor) if query.cursor else None
        users = await self._database.users(after, query.limit)
        cursor = self._cursors.of_user(users[-1]) if users else ""
        more = cursor if len(users) == query.limit else ""
        return _json(msgspec.json.encode(UsersPage(users, cursor)), _next(request, more))

    async def stats(self, _request: web.Request, query: inputs.User) -> web.Response:
        """The user's window, or 404."""
        stats = await self._windows.of(query.user_id)
        if stats is None:
            raise Problem(404, "There is no window of this user.")
        return _json(msgspec.json.encode(stats))

    async def transactions(self, request: web.Request, query: inputs.Transactions) -> web.StreamResponse:
        """A user's rows."""
        start, end = self._range(query.from_date, query.to_date)
        filters = Filters(
            user_id=query.user_id,
            from_date=start,
            to_date=end,
            min_amount=query.min_amount,
            max_amount=query.max_amount,
            is_anomaly=query.is_anomaly,
        )
        return await self._rows(request, filters, query.cursor, query.limit)

    async def anomalies(self, request: web.Request, query: inputs.Anomalies) -> web.StreamResponse:
        """The flagged rows."""
        start, end = self._range(query.from_date, query.to_date)
        filters = Filters(user_id=query.user_id, from_date=start, to_date=end, is_anomaly=True)
        return await self._rows(request, filters, query.cursor, query.limit)

    def _range(self, start: datetime | None, end: datetime | None) -> tuple[datetime | None, datetime | None]:
        """The last 30 days where nothing else is said.

        They are counted from the whole minute, so that equal requests have equal filters, and
        so one place in the cache, for a minute and not for an instant.
        """
        if start is None:
            newest = end or self._now().replace(second=0, microsecond=0)
            earliest = datetime.min.replace(tzinfo=UTC)
            start = newest - min(_DEFAULT_RANGE, newest - earliest)
        return start, end

    async def _rows(
        self, request: web.Request, filters: Filters, cursor: str | None, limit: int | None
    ) -> web.StreamResponse:
        """As the client accepts them: a page, or an export of all."""
        after = self._cursors.to_row(filters.user_id, cursor) if cursor else None
        accept = request.headers.get(hdrs.ACCEPT, "*/*")
        form = FORMS.get(preferred(accept, ROW_MEDIA)) if accept != "*/*" else None
        if form is None:
            return await self._page(request, filters, after, limit or _PAGE_ROWS)
        name = request.path.rpartition("/")[2]
        return await self._exports.send(
            request, form, name, lambda shape: self._database.export(shape, filters, after, limit)
        )

    async def _page(
        self, request: web.Request, filters: Filters, after: RowKey | None, limit: int
    ) -> web.Response:
        async def compute() -> bytes:
            """The body after a line that holds the cursor, where more may follow."""
            page = await self._database.page(filters, after, limit)
            cursor = self._cursors.of_row(filters.user_id, page.last) if page.last else ""
            more = cursor if page.count == limit else ""
            return f'{more}\n{{"transactions":[{page.rows}],"cursor":"{cursor}"}}'.encode()

        closed = filters.to_date is not None and filters.to_date < self._now() - _SETTLED
        if "no-cache" in request.headers.get(hdrs.CACHE_CONTROL, ""):
            answer = await compute()  # as RFC 9111 asks of a cache
        else:
            answer = await self._cache.answer((filters, after, limit), compute, closed=closed)
        more, _, body = answer.partition(b"\n")
        return _json(body, {hdrs.VARY: hdrs.ACCEPT, **_next(request, more.decode())})


def _next(request: web.Request, cursor: str) -> dict[str, str]:
    """The link to the page after this one (RFC 8288): the same query with this cursor."""
    if not cursor:
        return {}
    given = (one for one in request.rel_url.raw_query_string.split("&") if one)
    query = "&".join([one for one in given if unquote(one.partition("=")[0]) != "cursor"])
    return {hdrs.LINK: f'<?{query}{"&" if query else ""}cursor={cursor}>; rel="next"'}


class Feeds:
    """Live streams. Without a scored topic there are none of all transactions."""

    def __init__(self, streams: Connections, *, anomalies: Feed, scored: Feed | None) -> None:
        self._streams = streams
        self._anomalies = anomalies
        self._scored = scored

    async def transactions(self, request: web.Request, query: inputs.UserStream) -> web.StreamResponse:
        """This user's scored transactions."""
        if self._scored is None:
            raise Unavailable(
                "kafka",
                "The topic of all scored transactions is switched off (TXNWATCH_SCORED_TOPIC is empty).",
                retry_after=3600,
            )
        return await self._stream(
            request, self._scored, query.user_id, query.last_event_header or query.last_event_id
        )

    async def anomalies(self, request: web.Request, query: inputs.AnomalyStream) -> web.StreamResponse:
        """All flags, or this user's."""
        return await self._stream(
            request, self._anomalies, query.user_id, query.last_event_header or query.last_event_id
        )

    async def _stream(
        self, request: web.Request, feed: Feed, user_id: str | None, asked: EventId | None
    ) -> web.StreamResponse:
        key = user_id.encode() if user_id else None
        if self._streams.full:
            return self._streams.turn_away()
        with self._streams.place():
            async with feed.listening():
                return await self._streams.send(
                    request, lambda client: CatchUp(feed, key, client).frames(asked)
                )
