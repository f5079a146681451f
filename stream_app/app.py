"""The composition root: the Faust app, its table, its agent and all that they are made of.

Run it with `txnwatch worker` or `faust -A stream_app.app worker`. Nothing connects at import.
"""

import asyncio
import socket
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import faust
import msgspec
from faust.web import Request, Response, View
from mode import CrashingSupervisor
from redis.asyncio import Redis
from yarl import URL

from infra.runtime.aiokafka_changes import install
from infra.runtime.coalesced import Coalesced
from infra.runtime.kafka import check_topics
from infra.runtime.logs import log_start, silenced
from infra.runtime.redis import check_server
from infra.runtime.services import REDIS
from infra.runtime.shared_client import ClientPool
from infra.runtime.tracing import Traces, tracing
from stream_app.batch import Batch, Lost
from stream_app.faust_adapter.consumer import BatchTransport
from stream_app.faust_adapter.credentials import credentials_of
from stream_app.faust_adapter.message import BatchSchema
from stream_app.faust_adapter.recovery import PartitionTableManager
from stream_app.faust_adapter.router import WindowRouter
from stream_app.faust_adapter.start_checks import check_port, make_folder
from stream_app.faust_adapter.table import WindowTable
from stream_app.faust_adapter.vital_signs import add_probes, vitals_of
from stream_app.faust_adapter.web_guard import check_secret, guards
from stream_app.faust_adapter.worker import BoundedWorker
from stream_app.metrics import WorkerMetrics
from stream_app.ownership import Ownership
from stream_app.pipeline import Pipeline, Publisher
from stream_app.settings import Settings
from stream_app.sinks.disabled import NoMirror, NoRows
from stream_app.sinks.kafka import committed_positions
from stream_app.sinks.postgres import PostgresRows, connect
from stream_app.sinks.redis_mirror import RedisMirror
from stream_app.sinks.redis_windows import RedisWindows
from stream_app.state.decided.deciding import Deciders, Deciding
from stream_app.state.decided.failing import FailingRules
from stream_app.state.decided.feed import ControlFeed
from stream_app.state.placement import KeyPlacement
from stream_app.state.store import WindowStore
from stream_app.takeover import TakeOver


class ScoringApp(faust.App):  # type: ignore[misc]
    """The Faust app: from start to stop it holds what its pipelines write to."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(**_faust_options(settings))
        self.settings = settings
        self.deciders = Deciders(settings)
        self.metrics = WorkerMetrics()
        self.placement = KeyPlacement(settings.partitioner, self.metrics.misplaced.inc)
        self.transport = BatchTransport(_brokers(settings), self)
        self.windows = WindowStore(
            settings.datadir / "windows",
            recent_bytes=settings.window_cache_bytes,
            cache_bytes=settings.block_cache_bytes,
            buffer_bytes=settings.write_buffer_bytes,
        )
        self.metrics.ask("block_cache_bytes", lambda: self.windows.cached_bytes)
        self.metrics.ask("in_flight_records", lambda: self.consumer.in_flight.records)
        self.metrics.ask("in_flight_bytes", lambda: self.consumer.in_flight.bytes)
        self.tables.add(WindowTable(self))
        self.is_starting, self.is_stopping = True, False
        self.vitals = vitals_of(self)
        self.ownership: Ownership
        self._resources = AsyncExitStack()
        self._traces: Traces | None = None

    async def on_first_start(self) -> None:
        """Look for what is wrong with this machine and with the topics: whatever runs the app, it says so."""
        rule = self.deciders.by_settings.rule
        log_start("worker", self.settings, rule=f"{rule.rule}: {rule.sentence}")
        make_folder(self.settings.datadir)
        check_port(self.conf.web_bind, self.conf.web_port)
        check_secret(self.settings)
        with silenced("aiokafka"):
            await check_topics(self.settings, self.settings.topics)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Make what the pipelines write to, before anything is consumed.

        Raises:
            DatabaseError: The database is not one to write to.
            SharedRowsError: Its rows are another app's.
            ForeignMirrorError: The windows in Redis are.
            StopError: There are to be traces, and nothing that makes them.
            RedisKindError: Redis is a cluster or a Sentinel.
        """
        if url := self.settings.traces_url:
            self._traces = await self._resources.enter_async_context(tracing(url, "txnwatch-worker"))
        await self._resources.enter_async_context(self.vitals.watched(self.settings))
        self.ownership = await _ownership(self, self._resources)
        self.is_starting, self.metrics.partitions.read = False, self._figures
        self._resources.push_async_callback(self.ownership.release)
        self.add_future(self.ownership.watch_topics())
        await super().on_start()

    async def on_stop(self) -> None:
        """Stop consuming, give the partitions up, then close in the reverse order of starting."""
        try:
            await super().on_stop()
        finally:
            await self._resources.aclose()

    async def finish(self, event: Any) -> None:
        """Bring a batch to its end."""
        batch, end = event.value, "cut_off"
        partitions = self.consumer.topic_partitions(self.settings.transactions_topic) or 1
        self.placement.look(batch, partitions)
        try:
            if await self.ownership.process(batch):
                event.ack()
                end = batch.laps.end("acknowledge", "finished")
            else:
                self.consumer.abandon(event.message)
                end = "given_up"
        finally:
            self._observe(batch, end)

    def _observe(self, batch: Batch, end: str) -> None:
        self.metrics.batches.observe(batch, end)
        if self._traces is not None:
            topic, error = self.settings.transactions_topic, "" if end == "finished" else end
            self._traces.add(f"process {topic}", batch.laps, _attributes(topic, batch), error)

    def rejoin(self, reason: Lost) -> None:
        """Have the partitions shared out and taken over again."""
        self.metrics.give_up(reason)
        self.consumer.rejoin()

    def _figures(self) -> dict[int, dict[str, float]]:
        self.metrics.scoring.begin(self.ownership.deciding().ensemble)
        figures = self.ownership.figures()
        moved_at = self.vitals.headway.moved_at
        for lag in self.consumer.partition_lags():
            if its := figures.get(lag.partition):
                its |= {"lag_offsets": lag.behind, "held_back_offsets": lag.held_back}
                its["progress_timestamp_seconds"] = moved_at.get(lag.partition, time.time())
        return figures


def create_app(settings: Settings) -> ScoringApp:
    """A worker made of these settings, not yet connected to anything."""
    install()
    app = ScoringApp(settings)
    _add_views(app)
    source = app.topic(settings.transactions_topic, schema=BatchSchema())

    @app.agent(source, name="score")  # type: ignore[untyped-decorator]
    async def score(batches: faust.Stream) -> None:
        """Each partition's batches one after the other, partitions side by side."""
        async with asyncio.TaskGroup() as group:
            async for event in batches.noack().events():
                group.create_task(app.finish(event))

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def release(*_args: Any, **_kwargs: Any) -> None:
        await app.ownership.release()

    return app


def _add_views(app: ScoringApp) -> None:
    """Add to Faust's web views probes, the rule, where users were seen, and where a user's flags start."""
    add_probes(app)

    @app.page("/detector/")  # type: ignore[untyped-decorator]
    async def detector(view: View, _request: Request, **_kwargs: Any) -> Response:
        return view.bytes(msgspec.json.encode(app.ownership.deciding().rule), content_type="application/json")

    @app.page("/placement/")  # type: ignore[untyped-decorator]
    async def placement(view: View, _request: Request, **_kwargs: Any) -> Response:
        return view.bytes(msgspec.json.encode(app.placement.seen()), content_type="application/json")

    @app.page("/flags_from/{user_id}/")  # type: ignore[untyped-decorator]
    @app.table_route(table=app.tables["windows"], match_info="user_id")  # type: ignore[untyped-decorator]
    async def flags_from(view: View, request: Request, user_id: str) -> Response:
        if (window := app.windows.find(user_id)) is None:
            raise view.NotFound("user not found")
        starts = app.ownership.deciding().scorer.flags_from(window, request.query.get("currency", ""))
        return view.bytes(msgspec.json.encode(starts), content_type="application/json")


def _attributes(topic: str, batch: Batch) -> dict[str, str | int]:
    """What is said of a batch, by OpenTelemetry's names."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(batch.partition),
        "messaging.batch.message_count": len(batch.records),
        "messaging.kafka.offset": batch.next_offset - 1,
    }


async def _ownership(app: ScoringApp, resources: AsyncExitStack) -> Ownership:
    settings = app.settings
    rows, mirror = await _rows(settings, resources), await _mirror(app, resources)
    failing = FailingRules(settings)

    def make_pipeline(epoch: int, publisher: Publisher, deciding: Deciding) -> Pipeline:
        return Pipeline(
            epoch,
            publisher,
            decoder=deciding.decoder,
            scorer=deciding.scorer,
            windows=app.windows,
            rows=rows,
            mirror=mirror,
            count=app.metrics.count,
            observe=app.metrics.scoring.observe,
            see_to=failing.look,
            decision=deciding.rule.decision,
        )

    clients = ClientPool(settings, "output")
    resources.push_async_callback(clients.close)
    positions = Coalesced(partial(committed_positions, settings)).answer
    made_of = (app.windows, rows, mirror, app.deciders, ControlFeed(settings), clients, positions)
    take_over = TakeOver(
        settings, *made_of, make_pipeline, app.rejoin, app.crash, app.metrics.take_overs.observe
    )
    return Ownership(settings, partial(check_topics, settings, settings.topics), take_over)


async def _rows(settings: Settings, resources: AsyncExitStack) -> PostgresRows | NoRows:
    if not settings.has_sink("postgres"):
        return NoRows()
    pool = await resources.enter_async_context(connect(settings.postgres.get_secret_value()))
    rows = PostgresRows(
        pool,
        settings.transactions_topic,
        app_id=settings.app_id,
        share_rows=settings.share_rows,
        retry_seconds=settings.retry_seconds,
    )
    await rows.claim()
    return rows


async def _mirror(app: ScoringApp, resources: AsyncExitStack) -> RedisMirror | NoMirror:
    if not app.settings.has_sink("redis"):
        return NoMirror()
    redis = Redis.from_url(app.settings.redis.get_secret_value(), socket_timeout=5, socket_connect_timeout=2)
    await resources.enter_async_context(redis)
    with suppress(*REDIS.errors):  # one that does not answer is waited for later, and asked again then
        await check_server(redis, app.settings)
    windows = RedisWindows(redis, app.settings)
    mirror = RedisMirror(windows, app.windows.load)
    app.metrics.ask("mirror_waiting_users", lambda: mirror.waiting)
    app.metrics.ask("mirror_behind_seconds", lambda: mirror.behind)
    return await resources.enter_async_context(mirror.running())


def _faust_options(settings: Settings) -> dict[str, Any]:
    return {
        "id": settings.app_id,
        "broker": _brokers(settings),
        "broker_credentials": credentials_of(settings.access),
        "store": "memory://",
        "datadir": settings.datadir,
        "Worker": BoundedWorker,
        "TableManager": PartitionTableManager,
        "Router": WindowRouter,
        "agent_supervisor": CrashingSupervisor,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "stream_recovery_delay": 0.0,
        "stream_wait_empty": True,
        "broker_session_timeout": settings.session_seconds,
        "broker_heartbeat_interval": settings.session_seconds / 5,
        "broker_rebalance_timeout": max(30.0, settings.session_seconds),
        "web_bind": settings.web_host,
        "web_port": settings.web_port,
        "web_host": _advertised(settings.web_host),
        "web_application_options": {"middlewares": guards(settings)},
        "table_standby_replicas": 0,
        "worker_redirect_stdouts": False,
    }


def _brokers(settings: Settings) -> list[URL]:
    return [URL(f"kafka://{server}") for server in settings.servers]


def _advertised(web_host: str) -> str:
    """The host under which other workers reach this one's web views."""
    return socket.gethostname() if web_host in {"0.0.0.0", "::"} else web_host  # noqa: S104 - compared, not bound


def __getattr__(name: str) -> ScoringApp:
    """The app of the environment's settings, made when `faust -A stream_app.app` asks for it."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = create_app(Settings.load())
    return app
