"""`txnwatch api`: serves until SIGTERM or SIGINT."""

import asyncio
import errno
import logging
import signal
from contextlib import suppress

import click
import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from api.app import create_app, redis_client
from api.settings import Settings
from api.web.server import DRAINING, Runner
from api.web.sockets import KEEP_ALIVE_SECONDS, Site, Sockets
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.garbage import collect_seldom
from infra.runtime.logs import log_start, start_logging
from infra.runtime.open_files import most_open_files
from infra.runtime.postgres import check_if_up
from infra.runtime.redis import check_server
from infra.runtime.services import POSTGRES, REDIS

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
_LINE_BYTES = 1 << 16
_BACKLOG = 4096
"""After a restart all clients connect at once: 15,000 at the default limit."""
_OTHER_FILES = 256
"""Besides live clients: queries, and connections to Kafka, Postgres and Redis. Half of them are kept free of
connections that say nothing."""
_FEWEST_CLIENTS = 16
_SILENT_CLIENTS = 5000
"""Connections beside live clients: more than all that may wait to be accepted."""
_YOUNG_OBJECTS = 20_000
"""By Python's default the collector took a sixth of the time of an API that is posted 1,000 transactions a
second, and held all of them up for 140 ms at times."""


@click.command()
@click.option("--host", help="Where to listen (TXNWATCH_API_HOST, 127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="On which port (TXNWATCH_API_PORT, 8000; 0: any)."
)
def api(host: str | None, port: int | None) -> None:
    """Serve pages of the past, streams of the present, and their documentation."""
    settings = Settings.load(host=host, port=port)
    start_logging(settings, _without_callers_tracebacks)
    log_start("api", settings)
    with (
        ending_in_one_line(StopError, POSTGRES),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_check_services(settings))
        runner.run(_serve(settings))


async def _check_services(settings: Settings) -> None:
    """End the start where a setting leads to the wrong service; one that does not answer yet ends nothing.

    Raises:
        DatabaseError: A pooler is before Postgres, or its text is not UTF-8.
        RedisKindError: Redis is a cluster or a Sentinel.
        ForeignMirrorError: The windows in Redis are another app's.
    """
    await check_if_up(settings.postgres.get_secret_value(), settings.dependency_seconds)
    async with redis_client(settings) as redis:
        with suppress(*REDIS.errors):
            await check_server(redis, settings)


async def _serve(settings: Settings) -> None:
    files = most_open_files()
    clients = min(settings.stream_clients, max(1, files - _OTHER_FILES))
    most = min(files - _OTHER_FILES // 2, clients + _SILENT_CLIENTS)
    sockets = Sockets(max(most, _FEWEST_CLIENTS))
    app = create_app(settings.model_copy(update={"stream_clients": clients}))
    app.middlewares.insert(0, sockets.heard)
    runner = Runner(
        app,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        handler_cancellation=True,  # a client that leaves frees its stream and statements at once
        shutdown_timeout=_STOP_SECONDS,
        max_line_size=_LINE_BYTES,  # an overlong cursor is then a 422 that names it, not a bare 400
    )
    signals = _signals()
    try:
        await runner.setup()
        await _listen(runner, sockets, settings.host, settings.port)
        if clients < settings.stream_clients:
            log.warning("few files may be open here: at most %d live clients are served", clients)
        log.info("listening on %s", " ".join(_url(address) for address in runner.addresses))
        collect_seldom(_YOUNG_OBJECTS)
        async with sockets.watched():
            await _stopped(settings, app, signals)
        log.info("stopping")
    finally:
        await runner.cleanup()


def _signals() -> asyncio.Queue[signal.Signals]:
    """Where each signal to stop arrives."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    return signals


async def _stopped(settings: Settings, app: web.Application, signals: asyncio.Queue[signal.Signals]) -> None:
    """Wait for a signal; for SIGTERM, also until clients have had the time to move over."""
    if await signals.get() == signal.SIGTERM and settings.drain_seconds:
        log.info("not ready any more; stopping in %g s, or at another signal", settings.drain_seconds)
        app[DRAINING].begun = True
        with suppress(TimeoutError):
            await asyncio.wait_for(signals.get(), settings.drain_seconds)


async def _listen(runner: web.AppRunner, sockets: Sockets, host: str, port: int) -> None:
    try:
        await Site(runner, sockets, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} on {host} is taken: set TXNWATCH_API_PORT, or stop what listens there."
        else:
            message = f"Cannot listen on {host} port {port}: {error.strerror or error}"
        raise click.ClickException(message) from None


def _url(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _without_callers_tracebacks(record: logging.LogRecord) -> bool:
    """Log what a caller sent that is no HTTP without a traceback: nothing here is at fault."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True
