"""The table of routes: what is served, with which parameters, and what comes back.

It is all there is to a route: app.py serves it, params.py validates it, openapi.py describes it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from api.dashboard import answers as shown
from api.dashboard.page import Page
from api.live.frames import CONTENT_TYPE as EVENTS_TYPE
from api.metrics import CONTENT_TYPE as METRICS_TYPE
from api.reading.cursors import Cursors
from api.reading.export import FORMS
from api.routes import answers
from api.routes import parameters as inputs
from api.routes.dashboard import Data
from api.routes.handlers import Feeds, Pages, Service
from api.web.docs import Docs
from api.web.params import Check

Answer = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One GET route. `body` is the type of the JSON answer, or else `media` says what it is."""

    path: str
    answer: Answer
    summary: str
    parameters: type[Any] = inputs.Nothing
    checks: Sequence[Check] = ()
    body: type[Any] | None = None
    media: str = "application/json"
    exports: Sequence[str] = ()
    """Other media that the same rows can be had as."""
    status: int = 200
    pages: bool = False
    """Whether `Link` names the page after this one."""
    depends: bool = False
    """On something that can be down: then 503 is among the answers."""
    finds: bool = False
    """Something that may not be there: then 404 is among the answers."""

    @property
    def streams(self) -> bool:
        """Whether the answer lasts as long as the client stays."""
        return self.media == EVENTS_TYPE


def routes(service: Service, pages: Pages, feeds: Feeds, docs: Docs, cursors: Cursors) -> tuple[Route, ...]:
    """All routes but the dashboard's."""
    return (
        Route(path="/", answer=docs.home, summary="To the documentation.", status=307, media=""),
        Route(path="/docs", answer=docs.page, summary="This documentation.", media="text/html"),
        Route(
            path="/docs/{file}",
            answer=docs.asset,
            summary="A file of this documentation.",
            parameters=inputs.Asset,
            media="*/*",
            finds=True,
        ),
        Route(path="/openapi.json", answer=docs.openapi, summary="This description.", body=dict[str, Any]),
        Route(path="/health", answer=service.health, summary="Whether it lives.", body=answers.Health),
        Route(
            path="/ready",
            answer=service.ready,
            summary="Whether it can serve.",
            body=answers.Readiness,
            depends=True,
        ),
        Route(path="/metrics", answer=service.metrics, summary="For Prometheus.", media=METRICS_TYPE),
        Route(
            path="/users",
            answer=pages.users,
            pages=True,
            summary="All users, in pages.",
            parameters=inputs.Users,
            checks=(inputs.user_cursor_opens(cursors),),
            body=answers.UsersPage,
            depends=True,
        ),
        Route(
            path="/users/{user_id}/stats",
            answer=pages.stats,
            summary="The window that a user's next transaction is scored against.",
            parameters=inputs.User,
            body=answers.Stats,
            depends=True,
            finds=True,
        ),
        Route(
            path="/transactions",
            answer=pages.transactions,
            exports=tuple(FORMS),
            pages=True,
            summary="A user's transactions, newest first.",
            parameters=inputs.Transactions,
            checks=(inputs.ranges_in_order, inputs.row_cursor_opens(cursors)),
            body=answers.TransactionsPage,
            depends=True,
        ),
        Route(
            path="/anomalies",
            answer=pages.anomalies,
            exports=tuple(FORMS),
            pages=True,
            summary="The flagged transactions of all users, newest first.",
            parameters=inputs.Anomalies,
            checks=(inputs.ranges_in_order, inputs.row_cursor_opens(cursors)),
            body=answers.TransactionsPage,
            depends=True,
        ),
        Route(
            path="/sse/transactions/{user_id}",
            answer=feeds.transactions,
            summary="A user's transactions as they are scored.",
            parameters=inputs.UserStream,
            media=EVENTS_TYPE,
            depends=True,
        ),
        Route(
            path="/sse/anomalies",
            answer=feeds.anomalies,
            summary="Flags as they are raised.",
            parameters=inputs.AnomalyStream,
            media=EVENTS_TYPE,
            depends=True,
        ),
    )


def dashboard_routes(page: Page, data: Data) -> tuple[Route, ...]:
    """The dashboard, its files, and what only it asks for."""
    return (
        Route(path="/dashboard", answer=page.page, summary="The dashboard.", media="text/html"),
        Route(
            path="/dashboard/{file}",
            answer=page.asset,
            summary="A file of the dashboard.",
            parameters=inputs.Asset,
            media="*/*",
            finds=True,
        ),
        Route(
            path="/dashboard/data/pulse",
            answer=data.pulse,
            summary="Rates of the last minutes and each partition's lag, looked at once a second.",
            parameters=inputs.After,
            body=shown.PulsePage,
            depends=True,
        ),
        Route(
            path="/dashboard/data/workers",
            answer=data.workers,
            summary="The workers and the partitions that they hold.",
            body=shown.Workers,
            depends=True,
        ),
        Route(
            path="/dashboard/data/refused",
            answer=data.refused,
            summary="Refused messages: how many for which reason, and the last few.",
            body=shown.RefusedPage,
            depends=True,
        ),
        Route(
            path="/dashboard/data/rule",
            answer=data.rule,
            summary="What a transaction is compared with.",
            body=shown.Rule,
        ),
        Route(
            path="/dashboard/data/users",
            answer=data.users,
            summary="The first few users whose ids begin so.",
            parameters=inputs.Prefix,
            body=shown.UserIds,
            depends=True,
        ),
    )
