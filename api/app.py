"""The composition root: from settings to an application. The only place that wires."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from datetime import UTC, datetime, timedelta
from functools import partial

from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.dashboard.page import dashboard_page, lost, to_login
from api.dashboard.watch import Watch
from api.dashboard.workers import WorkerGroup
from api.live.broker import Broker
from api.live.connections import Connections
from api.live.feed import LiveFeed
from api.live.replay import Replay
from api.metrics import Metrics
from api.partitions import look_after_months
from api.publishing import keep_publishing
from api.reading.cache import QueryCache
from api.reading.cursors import Cursors, key_from
from api.reading.database import Database
from api.reading.export import Exports
from api.reading.known import KnownRows
from api.reading.worker import WindowReader, WorkerView
from api.routes.buckets import BucketRoutes
from api.routes.changes import ChangeRoutes
from api.routes.dashboard import DashboardRoutes
from api.routes.labels import LabelRoutes
from api.routes.lists import ListRoutes
from api.routes.live import LiveRoutes
from api.routes.provider import ProviderRoutes
from api.routes.rows import RowRoutes
from api.routes.rules import RuleRoutes
from api.routes.service import ServiceRoutes
from api.routes.session import SessionRoutes
from api.routes.transactions import PostRoutes
from api.routes.users import UserRoutes
from api.settings import Settings
from api.web.docs import Docs
from api.web.gate import Gate
from api.web.limits import RateLimits, tell_left
from api.web.middleware import Called, Cors, counting, harden, problems
from api.web.open_answers import OpenAnswers
from api.web.route import GATE, OPEN, routes_of, serve
from api.web.seals import Seals
from api.web.server import DRAINING, Draining
from infra.access.provider import Provider
from infra.access.store import callers_of
from infra.produce.inlet import Inlet
from infra.runtime.background import background
from infra.runtime.health import LOOK_SECONDS, Checks, Dependencies, Headway, Vitals
from schemas.access import Caller
from schemas.content import SAID_NAMES
from schemas.transaction import Decoder

_REDIS_CONNECTIONS = 20
_Part = Callable[[], AbstractAsyncContextManager[object]]
_Lifetime = Callable[[web.Application], AsyncIterator[None]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings, *, now: Callable[[], datetime] = _utc_now) -> web.Application:
    """The application. It can be started whatever is down, and connects to what is up."""
    key = key_from(settings.cursor_key.get_secret_value(), settings.datadir)
    metrics, cursors, docs = Metrics(), Cursors(key), Docs(settings.root_path, settings)
    database, redis, broker = Database(settings), redis_client(settings), Broker(settings)
    gate, worker = _gate(settings, database, key), WorkerView(settings)
    cache = QueryCache(redis, settings, key=key, count=metrics.count_cached)
    replay, inlet = Replay(broker, readers=settings.history_readers), Inlet(settings, "api")
    anomalies, scored = _feeds(settings, broker, metrics)
    connections, group = Connections(settings, metrics), WorkerGroup(broker, settings)
    metrics.ask(lambda: (scored.verdicts.count if scored else 0, *database.connections))
    windows, watch = WindowReader(redis, worker, settings), Watch(broker, group, settings)
    dependencies = _dependencies(database, broker, windows, metrics, settings)
    app = _serving(
        settings,
        metrics,
        gate,
        docs,
        *(*_logins(settings, gate, key), ServiceRoutes(metrics, dependencies), BucketRoutes(database, now)),
        *(UserRoutes(database, windows, cursors), ChangeRoutes(database, cursors)),
        RowRoutes(database, cache, cursors, Exports(settings), now),
        PostRoutes(inlet, KnownRows(database), scored, _decoder(settings), metrics, settings),
        *(RuleRoutes(database, settings), LabelRoutes(settings), ListRoutes(database, settings)),
        LiveRoutes(connections, replay, settings, anomalies, scored),
        DashboardRoutes(dashboard_page(), watch, group, database, worker, settings),
    )
    app.cleanup_ctx.append(
        _while_running(
            _seen(app, dependencies, metrics, settings),
            lambda: database,
            lambda: background(keep_publishing(settings, database), name="decisions"),
            lambda: background(look_after_months(settings), name="months of transactions"),
            *(partial(aclosing, part) for part in (redis, broker, replay, inlet)),
            app[OPEN].running,
            watch.running,
            *(feed.follower.running for feed in (anomalies, scored) if feed),
        )
    )
    app.on_shutdown.append(partial(_end_what_waits, connections, scored))
    return app


def _gate(settings: Settings, database: Database, key: bytes) -> Gate:
    limits = RateLimits(settings.most_a_second, settings.burst) if settings.most_a_second else None
    ask, required = partial(_callers, database), settings.needs_login
    return Gate(ask, key, required=required, limits=limits, proxies=settings.proxies)


def _logins(settings: Settings, gate: Gate, key: bytes) -> Iterator[object]:
    provider = Provider(settings.provider) if settings.provider and settings.needs_login else None
    yield SessionRoutes(gate, settings, provider)
    if provider:
        yield ProviderRoutes(provider, settings, Seals(key, "logins"))


async def _callers(database: Database, digests: Collection[bytes]) -> Mapping[bytes, Caller]:
    return await database.asked(lambda one: callers_of(one, digests))


def _dependencies(
    database: Database, broker: Broker, windows: WindowReader, metrics: Metrics, settings: Settings
) -> Dependencies:
    kafka = partial(broker.ends, settings.anomalies_topic)
    checks: Checks = {"postgres": database.check, "kafka": kafka, "redis": windows.check}
    return Dependencies(checks, {"postgres", "kafka"}, settings.dependency_seconds, metrics.dependency_up)


def _seen(app: web.Application, dependencies: Dependencies, metrics: Metrics, settings: Settings) -> _Part:
    hindered = lambda: "Stopping." if app[DRAINING].begun else ""  # noqa: E731
    vitals = Vitals(dependencies, Headway(settings.progress_seconds), metrics.text, dict, hindered)
    return partial(vitals.watched, settings, first=LOOK_SECONDS)


def _decoder(settings: Settings) -> Decoder:
    """What the worker's decoder refuses is refused here."""
    return Decoder(settings.max_message_bytes, timedelta(hours=settings.max_ahead_hours), SAID_NAMES)


async def _end_what_waits(connections: Connections, scored: LiveFeed | None, _: web.Application) -> None:
    """End streams, and answer who waits for a verdict."""
    if scored is not None:
        scored.verdicts.close()
    await connections.close()


def _serving(
    settings: Settings, metrics: Metrics, gate: Gate, docs: Docs, *resources: object
) -> web.Application:
    """An application that serves the documentation and these resources."""
    routes = routes_of(docs, *resources)
    docs.describe([route for route, _ in routes], login=gate.required)
    cors, draining = Cors(settings.origins), Draining()
    called, count = Called(settings.host_names), counting(metrics, logged=settings.log_requests)
    layers = [draining.middleware, count, lost, to_login, problems, called.guard]
    layers += [cors.preflight, cors.guard]
    app = web.Application(middlewares=layers)
    app[DRAINING], app[GATE], app[OPEN] = draining, gate, OpenAnswers(gate)
    app.on_response_prepare.extend([cors.on_prepare, harden, tell_left])
    serve(app.router, routes)
    return app


def _while_running(*parts: _Part) -> _Lifetime:
    """Start the parts in this order when the application starts, and end them in the reverse."""

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in parts:
                await stack.enter_async_context(part())
            yield

    return lifetime


def _feeds(settings: Settings, broker: Broker, metrics: Metrics) -> tuple[LiveFeed, LiveFeed | None]:
    """The feeds of flags and of all scored transactions; None where that topic is switched off."""
    feed, root = partial(LiveFeed, broker=broker, settings=settings, metrics=metrics), settings.root_path
    anomalies = feed(settings.anomalies_topic, pages=f"{root}/anomalies")
    scored = feed(settings.scored_topic, pages=f"{root}/transactions") if settings.scored_topic else None
    return anomalies, scored


def redis_client(settings: Settings) -> Redis:
    """A client with a pool of its own, not yet connected."""
    pool = BlockingConnectionPool.from_url(
        settings.redis.get_secret_value(),
        max_connections=_REDIS_CONNECTIONS,
        timeout=settings.dependency_seconds,  # for a free one: many requests at once are no failure of Redis
        socket_timeout=settings.dependency_seconds,
        socket_connect_timeout=settings.dependency_seconds,
        retry=Retry(NoBackoff(), 1),  # a connection that Redis closed in the meantime
    )
    return Redis.from_pool(pool)
