"""The dashboard: its page, its files, and what only it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from api.dashboard.records import RefusedPage
from api.dashboard.watch import PulsePage, Watch
from api.dashboard.workers import WorkerGroup, Workers
from api.reading.database import Database
from api.reading.worker import WorkerView
from api.settings import Settings
from api.web.params import CURRENCY, MILLISECONDS, UUID, UUID_PREFIX, NoParameters, file_named, path, query
from api.web.problems import Problem
from api.web.route import Route, json_response
from api.web.static_files import StaticPage
from infra.decisions.history import Late, late
from infra.runtime.coalesced import Coalesced
from schemas.rule import Rule
from schemas.text import Uuid
from schemas.window_view import FlagStarts

_KEPT_SECONDS = 1.0
_SUGGESTED = 10
_LATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardFile:
    """A file of the dashboard."""

    file: str = path(file_named("style.css"), "The file's name.")


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What came after a time."""

    after: int = query(MILLISECONDS, "Only what is later than this, in milliseconds since 1970.", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Some users by the beginning of their ids."""

    prefix: tuple[str, str] = query(UUID_PREFIX, "How their ids begin; empty: any.", required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A user's next transaction."""

    user_id: str = query(UUID, "The user.", required=True)
    currency: str = query(CURRENCY, "Its currency.", required=True)


class UserIds(msgspec.Struct, frozen=True):
    """Users in the order of their ids."""

    users: Sequence[Uuid]


@dataclass
class DashboardRoutes:
    """`/dashboard` and `/dashboard/…`."""

    static: StaticPage
    watch: Watch
    group: WorkerGroup
    database: Database
    worker: WorkerView
    settings: Settings

    def __post_init__(self) -> None:
        self._rule = Coalesced(self.worker.rule, max_age=_KEPT_SECONDS)
        self._workers = Coalesced(self.group.workers, max_age=_KEPT_SECONDS)
        self._late = Coalesced(self._ask_late, max_age=_KEPT_SECONDS)

    async def _ask_late(self) -> Late:
        place = self.settings.app_id, self.settings.transactions_topic
        return await self.database.asked(lambda connection: late(connection, *place, _LATE_SECONDS))

    @Route("/dashboard", "page_page", media="text/html")
    async def page(self, request: web.Request, _: NoParameters) -> web.StreamResponse:
        """The dashboard."""
        return await self.static.page(request)

    @Route("/dashboard/{file}", "page_asset", parameters=DashboardFile, media="*/*", finds=True)
    async def asset(self, request: web.Request, query: DashboardFile) -> web.StreamResponse:
        """A file of the dashboard."""
        return await self.static.file(request, query.file)

    @Route("/dashboard/data/pulse", "data_pulse", parameters=After, body=PulsePage, depends=True)
    async def pulse(self, _request: web.Request, query: After) -> web.Response:
        """Rates of the last minutes and each partition's lag, looked at once a second."""
        return json_response(await self.watch.page(query.after))

    @Route("/dashboard/data/workers", "data_workers", body=Workers, depends=True)
    async def workers(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The workers and the partitions that they hold."""
        return json_response(await self._workers.answer())

    @Route("/dashboard/data/refused", "data_refused", body=RefusedPage, depends=True)
    async def refused(self, _request: web.Request, _: NoParameters) -> web.Response:
        """Refused messages: how many for which reason, and the last few."""
        return json_response(await self.watch.refused())

    @Route("/dashboard/data/rule", "data_rule", body=Rule, depends=True)
    async def rule(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The rule that the workers run, in words and lines, as a worker says it."""
        return json_response(await self._rule.answer())

    @Route(
        "/dashboard/data/flags_from",
        "data_flags_from",
        parameters=Next,
        body=FlagStarts,
        depends=True,
        finds=True,
    )
    async def flags_from(self, _request: web.Request, query: Next) -> web.Response:
        """Where flags start for a user's next transaction, as a worker says it."""
        starts = await self.worker.flags_from(query.user_id, query.currency)
        if starts is None:
            raise Problem(404, "There is no window of this user.")
        return json_response(starts)

    @Route("/dashboard/data/decisions", "data_decisions", body=Late, depends=True)
    async def decisions(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The partitions that lack a decision which was made 10 s ago or longer."""
        return json_response(await self._late.answer())

    @Route("/dashboard/data/users", "data_users", parameters=Prefix, body=UserIds, depends=True)
    async def users(self, _request: web.Request, query: Prefix) -> web.Response:
        """The first few users whose ids begin so."""
        first, last = query.prefix
        return json_response(UserIds(await self.database.users(_SUGGESTED, first=first, last=last)))
