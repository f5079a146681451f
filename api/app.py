"""The composition root: from settings to an application. The only place that wires."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial

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
from api.live.feed import Feed, Pace
from api.live.replay import Replay
from api.metrics import Metrics
from api.partitions import Upkeep
from api.reading.cache import QueryCache
from api.reading.cursors import Cursors, key_from
from api.reading.database import Database
from api.reading.export import Exports
from api.reading.window_reader import WindowMirror, WindowReader, WorkerView
from api.routes.dashboard import Data
from api.routes.handlers import Feeds, Pages, Service
from api.routes.table import Route, dashboard_routes, routes
from api.settings import Settings
from api.web.docs import Docs
from api.web.middleware import Cors, Handler, counting, problems
from api.web.openapi import document
from api.web.params import read

_REDIS_CONNECTIONS = 20
_PART = re.compile(r"{(\w+)}")
"""A parameter in a path. Left to aiohttp it would match no braces, and a UUID in them be no page at all."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings, *, now: Callable[[], datetime] = _utc_now) -> web.Application:
    """The application. It can be started whatever is down, and connects to what is up."""
    metrics, docs = Metrics(), Docs()
    key = key_from(settings.cursor_key.get_secret_value(), settings.datadir)
    cursors = Cursors(key)
    database = _database(settings)
    redis = _redis(settings)
    mirror = WindowMirror(redis, seconds=settings.dependency_seconds)
    windows = WindowReader(mirror, WorkerView(settings.worker_url, seconds=settings.dependency_seconds))
    cache = QueryCache(
        redis,
        seconds=settings.query_cache_seconds,
        closed_seconds=settings.query_cache_closed_seconds,
        scope=settings.app_id,
        key=key,
        count=metrics.count_cached,
    )
    exports = Exports(
        at_once=settings.exports, seconds=settings.export_seconds, send_seconds=settings.send_seconds
    )
    broker = Broker(settings.kafka, seconds=settings.dependency_seconds)
    replay = Replay(broker, readers=settings.history_readers)
    feed = partial(_feed, settings, broker, replay, metrics)
    anomalies = feed(topic=settings.anomalies_topic, pages="/anomalies")
    scored = feed(topic=settings.scored_topic, pages="/transactions") if settings.scored_topic else None
    streams = _streams(settings, metrics)

    group = Group(broker, settings.app_id, settings.transactions_topic, seconds=settings.dependency_seconds)
    pulse = _pulse(settings, broker, group)

    async def kafka_answers() -> None:
        await broker.ends(settings.anomalies_topic)

    checks = {"postgres": database.check, "kafka": kafka_answers, "redis": mirror.check}
    table = (
        *routes(
            Service(metrics, checks, seconds=settings.dependency_seconds),
            Pages(database, windows, cache, cursors, exports, now=now),
            Feeds(streams, anomalies=anomalies, scored=scored),
            docs,
            cursors,
        ),
        *dashboard_routes(
            Page(),
            Data(pulse, group, broker, database, source=settings.transactions_topic, rule=_rule(settings)),
        ),
    )
    docs.describe(document(table))

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(database)
            await stack.enter_async_context(_upkeep(settings).running())
            stack.push_async_callback(redis.aclose)
            stack.push_async_callback(broker.close)
            stack.push_async_callback(replay.close)
            stack.push_async_callback(group.close)
            await stack.enter_async_context(pulse.running())
            for feed in filter(None, (anomalies, scored)):
                await stack.enter_async_context(feed.running())
            yield

    async def end_streams(_: web.Application) -> None:
        await streams.close()

    app = _serving(table, metrics, Cors(settings.origins))
    app.cleanup_ctx.append(lifetime)
    app.on_shutdown.append(end_streams)
    return app


def _serving(table: Sequence[Route], metrics: Metrics, cors: Cors) -> web.Application:
    app = web.Application(middlewares=[counting(metrics), problems, cors.preflight])
    app.on_response_prepare.append(cors.on_prepare)
    for route in table:
        # A HEAD for a stream would wait for a body that is never sent.
        path = _PART.sub(r"{\1:[^/]+}", route.path)
        app.router.add_get(path, _handler(route), allow_head=not route.streams)
    return app


def _handler(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await route.answer(request, read(route.parameters, request, route.checks))

    return handle


def _database(settings: Settings) -> Database:
    return Database(
        settings.postgres.get_secret_value(),
        connections=settings.database_connections,
        connect_seconds=settings.dependency_seconds,
        query_seconds=settings.query_seconds,
    )


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


def _streams(settings: Settings, metrics: Metrics) -> Connections:
    return Connections(
        limit=settings.stream_clients,
        buffer_bytes=settings.buffer_bytes,
        send_seconds=settings.send_seconds,
        retry_milliseconds=settings.retry_milliseconds,
        count_cut_off=metrics.count_cut_off,
        count_turned_away=metrics.count_turned_away,
    )


def _feed(
    settings: Settings, broker: Broker, replay: Replay, metrics: Metrics, *, topic: str, pages: str
) -> Feed:
    pace = Pace(
        heartbeat_seconds=settings.heartbeat_seconds,
        send_seconds=settings.send_seconds,
        buffer_bytes=settings.buffer_bytes,
        retry_milliseconds=settings.retry_milliseconds,
        linger_seconds=settings.linger_seconds,
        start_seconds=settings.dependency_seconds,
    )
    feed = Feed(topic, broker, replay, pace, pages=pages, count_sent=metrics.event_counter(topic))
    metrics.watch_clients(topic, lambda: feed.listeners)
    return feed
