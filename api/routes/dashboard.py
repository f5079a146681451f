"""The dashboard: its page, its files, and what only it asks for."""

from dataclasses import dataclass

from aiohttp import web

from api.dashboard import answers
from api.dashboard.watch import Watch
from api.dashboard.workers import WorkerGroup
from api.reading.database import Database
from api.reading.worker_view import WorkerView
from api.routes.rows import EXAMPLE_ROW
from api.web.params import EXAMPLE_UUID, MILLISECONDS, UUID_PREFIX, NoParameters, file_named, path, query
from api.web.route import Route, json_response
from api.web.static_files import StaticPage
from infra.runtime.coalesced import Coalesced
from schemas.rule import Line, Rule, Words

_KEPT_SECONDS = 1.0
_SUGGESTED = 10

_AT = 1522540831000
_PULSE = answers.PulsePage(
    now=_AT,
    samples=[
        answers.Sample(_AT - 200, 181.0, 184.0, 1.9, answers.Produced(str(EXAMPLE_ROW["id"]), _AT - 900))
    ],
    partitions=[answers.Lag(partition=0, end=4713, committed=4711, lag=2)],
)
_WORKERS = answers.Workers(
    group="txnwatch",
    state="stable",
    workers=[answers.Worker("faust-0.15.3-6b8688ed", "127.0.0.1", "127.0.0.1:6066", [0, 1, 2])],
    unassigned=[3],
)
_REFUSED = answers.RefusedPage(
    total=1,
    complete=True,
    reasons={"amount": 1},
    last=[
        answers.Refused(_AT, "amount", "'NaN': not a decimal number", EXAMPLE_UUID, '{"amount":"NaN"}', 2, 17)
    ],
)
_RULE = Rule(
    detector="rolling_mean",
    version=1,
    window=20,
    settings={"window_size": 20, "window_minimum": 10, "factor": "5"},
    sentence="An amount is flagged above 5 times the mean of the user's last 20 before it, from 10 on.",
    lines=[Line("threshold", of="mean", window=20, minimum=10, factor=5.0, threshold=True)],
    words={"rolling_mean": Words("{amount} is {ratio} the mean", "{ratio} the mean", {"ratio": "times"})},
)


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


class DashboardRoutes:
    """`/dashboard` and `/dashboard/…`."""

    def __init__(
        self,
        page: StaticPage,
        watch: Watch,
        group: WorkerGroup,
        database: Database,
        worker: WorkerView,
    ) -> None:
        self._page = page
        self._watch = watch
        self._database = database
        self._rule = Coalesced(worker.rule, max_age=_KEPT_SECONDS)
        self._workers = Coalesced(group.workers, max_age=_KEPT_SECONDS)

    @Route("/dashboard", "page_page", media="text/html")
    async def page(self, request: web.Request, _: NoParameters) -> web.StreamResponse:
        """The dashboard."""
        return await self._page.page(request)

    @Route("/dashboard/{file}", "page_asset", parameters=DashboardFile, media="*/*", finds=True)
    async def asset(self, request: web.Request, query: DashboardFile) -> web.StreamResponse:
        """A file of the dashboard."""
        return await self._page.file(request, query.file)

    @Route(
        "/dashboard/data/pulse",
        "data_pulse",
        parameters=After,
        body=answers.PulsePage,
        example=_PULSE,
        depends=True,
    )
    async def pulse(self, _request: web.Request, query: After) -> web.Response:
        """Rates of the last minutes and each partition's lag, looked at once a second."""
        return json_response(await self._watch.page(query.after))

    @Route("/dashboard/data/workers", "data_workers", body=answers.Workers, example=_WORKERS, depends=True)
    async def workers(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The workers and the partitions that they hold."""
        return json_response(await self._workers.answer())

    @Route(
        "/dashboard/data/refused", "data_refused", body=answers.RefusedPage, example=_REFUSED, depends=True
    )
    async def refused(self, _request: web.Request, _: NoParameters) -> web.Response:
        """Refused messages: how many for which reason, and the last few."""
        return json_response(await self._watch.refused())

    @Route("/dashboard/data/rule", "data_rule", body=Rule, example=_RULE, depends=True)
    async def rule(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The rule that the workers run, in words and lines, as a worker says it."""
        return json_response(await self._rule.answer())

    @Route(
        "/dashboard/data/users",
        "data_users",
        parameters=Prefix,
        body=answers.UserIds,
        example=answers.UserIds([EXAMPLE_UUID]),
        depends=True,
    )
    async def users(self, _request: web.Request, query: Prefix) -> web.Response:
        """The first few users whose ids begin so."""
        first, last = query.prefix
        return json_response(answers.UserIds(await self._database.users_between(first, last, _SUGGESTED)))
