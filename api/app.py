"""The composition root: from settings to an application. The only place that wires."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.dashboard.answers import Rule
from api.dashboard.page import Page
from api.dashboard.watch import Pulse, Topics
from api.dashboard.workers import Group
from api.live.broker import Broker
from api.live.connections import Connections
from api.live.feed import LiveFeed
from api.live.replay import Replay
from api.metrics import Metrics
from api.partitions import Upkeep
from api.reading.cache import QueryCache
from api.reading.cursors import Cursors, key_from
from api.reading.database import Database
from api.reading.export import Exports
from api.reading.window_reader import WindowReader
from api.routes.dashboard import DashboardRoutes
from api.routes.live import LiveRoutes
from api.routes.rows import RowRoutes
from api.routes.service import ServiceRoutes
from api.routes.users import UserRoutes
from api.settings import Settings
from api.web.docs import Docs
from api.web.middleware import Cors, counting, problems
from api.web.route import routes_of, serve

_REDIS_CONNECTIONS = 20


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings, *, now: Callable[[], datetime] = _utc_now) -> web.Application:
    """The application. It can be started whatever is down, and connects to what is up."""
    metrics, docs = Metrics(), Docs()
    key = key_from(settings.cursor_key.get_secret_value(), settings.datadir)
    cursors = Cursors(key)
    database, redis = Database(settings), _redis(settings)
    windows = WindowReader(redis, settings)
    cache = QueryCache(redis, settings, key=key, count=metrics.count_cached)
    broker = Broker(settings.kafka, seconds=settings.dependency_seconds)
    replay = Replay(broker, readers=settings.history_readers)
    topics = {settings.anomalies_topic: "/anomalies", settings.scored_topic: "/transactions"}
    feeds = {
        topic: LiveFeed(topic, broker, settings, metrics, pages=pages)
        for topic, pages in topics.items()
        if topic
    }
    connections = Connections(settings, metrics)

    group = Group(broker, settings.app_id, settings.transactions_topic, seconds=settings.dependency_seconds)
    pulse = _pulse(settings, broker, group)

    async def kafka_answers() -> None:
        await broker.ends(settings.anomalies_topic)

    checks = {"postgres": database.check, "kafka": kafka_answers, "redis": windows.check}
    routes = routes_of(
        docs,
        ServiceRoutes(metrics, checks, seconds=settings.dependency_seconds),
        UserRoutes(database, windows, cursors),
        RowRoutes(database, cache, cursors, Exports(settings), now=now),
        LiveRoutes(
            connections,
            replay,
            settings,
            anomalies=feeds[settings.anomalies_topic],
            scored=feeds.get(settings.scored_topic),
        ),
        DashboardRoutes(
            Page(),
            pulse,
            group,
            broker,
            database,
            source=settings.transactions_topic,
            rule=_rule(settings),
        ),
    )
    docs.describe([route for route, _ in routes])

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(database)
            await stack.enter_async_context(_upkeep(settings).running())
            stack.push_async_callback(redis.aclose)
            stack.push_async_callback(broker.close)
            stack.push_async_callback(replay.close)
            stack.push_async_callback(group.close)
            await stack.enter_async_context(pulse.running())
            for feed in feeds.values():
                await stack.enter_async_context(feed.follower.running())
            yield

    async def end_streams(_: web.Application) -> None:
        await connections.close()

    cors = Cors(settings.origins)
    app = web.Application(middlewares=[counting(metrics), problems, cors.preflight])
    serve(app.router, routes)
    app.on_response_prepare.append(cors.on_prepare)
    app.cleanup_ctx.append(lifetime)
    app.on_shutdown.append(end_streams)
    return app


def _pulse(settings: Settings, broker: Broker, group: Group) -> Pulse:
    return Pulse(
        broker,
        group,
        Topics(
            source=settings.transactions_topic,
            anomalies=settings.anomalies_topic,
            refused=settings.dlq_topic,
        ),
        linger_seconds=settings.linger_seconds,
        start_seconds=settings.dependency_seconds,
    )


def _rule(settings: Settings) -> Rule:
    return Rule(
        detector=settings.detector,
        window=settings.window_size,
        minimum=settings.window_minimum,
        factor=float(settings.factor),
    )


def _upkeep(settings: Settings) -> Upkeep:
    return Upkeep(
        settings.postgres.get_secret_value(),
        ahead=settings.months_ahead,
        retention=settings.retention_months,
        seconds=settings.dependency_seconds,
    )


def _redis(settings: Settings) -> Redis:
    pool = BlockingConnectionPool.from_url(
        settings.redis.get_secret_value(),
        max_connections=_REDIS_CONNECTIONS,
        timeout=settings.dependency_seconds,  # for a free one: many requests at once are no failure of Redis
        socket_timeout=settings.dependency_seconds,
        socket_connect_timeout=settings.dependency_seconds,
        retry=Retry(NoBackoff(), 1),  # a connection that Redis closed in the meantime
    )
    return Redis.from_pool(pool)
