"""How the process is, over HTTP: alive, ready, and its metrics."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from infra.ingest.metrics import IngestCounts
from infra.ingest.running import Ingest
from infra.ingest.settings import Settings
from infra.runtime.cli_errors import StopError
from infra.runtime.exposition import CONTENT_TYPE

_SILENT_SECONDS = 15.0


class ProbePortError(StopError):
    """The port for the probes cannot be listened on; the message names the variable."""


class Probes:
    """`/health`, `/ready` and `/metrics`."""

    def __init__(self, ingest: Ingest, counts: IngestCounts) -> None:
        self._ingest = ingest
        self._counts = counts

    async def health(self, _request: web.Request) -> web.Response:
        """Whether it lives: that it answers says that it goes on, or waits for a service."""
        return web.json_response({"health": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Whether it reads and writes; else 503, with what it waits for and since when."""
        waits = self._ingest.waits_for(_SILENT_SECONDS)
        states = {
            name: {"state": "down", "since": _seconds_ago(since)} if since else {"state": "up"}
            for name, since in waits.items()
        }
        ready = not any(waits.values())
        return web.json_response({"ready": ready, "dependencies": states}, status=200 if ready else 503)

    async def metrics(self, _request: web.Request) -> web.Response:
        """For Prometheus."""
        body = self._counts.text(self._ingest.lags())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def _seconds_ago(since: float) -> str:
    return f"{time.monotonic() - since:.0f} s"


@asynccontextmanager
async def probes(settings: Settings, ingest: Ingest, counts: IngestCounts) -> AsyncIterator[None]:
    """Serve them while the block runs, unless the port is 0.

    Raises:
        ProbePortError: The port is taken, or the host none of this machine's.
    """
    views, app = Probes(ingest, counts), web.Application()
    app.add_routes([web.get(f"/{name}", getattr(views, name)) for name in ("health", "ready", "metrics")])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, settings)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    host, port = settings.ingest_host, settings.ingest_port
    try:
        if port:
            await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ProbePortError(f"port {port} of {host}: {error.strerror}: TXNWATCH_INGEST_PORT") from None
