"""Connections that say nothing: how long one may take over a request's head, and how many there may be.

aiohttp waits for a first request as long as for the next one, and for any number of connections. Once no
more files may be open, each new connection is closed unheard, a health check's too.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from infra.runtime.background import background

log = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75.0
"""Longer than the 60 s for which proxies keep a connection by default: they have to close it first."""
_LOOK_SECONDS = 1.0
_LOG_SECONDS = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sockets:
    """Cuts off who sends no whole head within `head_seconds` and, above `most` connections, the most silent.

    Whoever has a request under way stays: a health check and a live client are heard among any number of
    connections that say nothing.
    """

    def __init__(self, most: int, *, head_seconds: float = HEAD_SECONDS) -> None:
        self._most = most
        self._head_seconds = head_seconds
        self._unheard: OrderedDict[web.RequestHandler, float] = OrderedDict()
        """Those that have sent no request, and since when; the oldest first."""
        self._idle: OrderedDict[web.RequestHandler, float] = OrderedDict()
        """Those between two requests, the longest idle first."""
        self._busy = 0
        self._late = self._crowded = 0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Cut off the silent while the block runs."""
        async with background(self._watch(), name="silent connections"):
            yield

    def admitted(self, handler: web.RequestHandler) -> web.RequestHandler:
        """Take note of a new connection; the most silent one makes room for it."""
        while len(self._unheard) + len(self._idle) + self._busy >= self._most:
            silent = next(iter(self._unheard), None) or next(filter(_is_silent, self._idle), None)
            if silent is None:
                break
            self._unheard.pop(silent, None)
            self._idle.pop(silent, None)
            self._crowded += _cut_off(silent)
        self._unheard[handler] = time.monotonic()
        return handler

    @web.middleware
    async def heard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take note of a request, and of its end; the outermost middleware."""
        self._unheard.pop(request.protocol, None)
        self._idle.pop(request.protocol, None)
        self._busy += 1
        try:
            return await handler(request)
        finally:
            self._busy -= 1
            if request.protocol.transport is not None:
                self._idle[request.protocol] = time.monotonic()

    async def _watch(self) -> None:
        logged = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            while self._unheard and now - next(iter(self._unheard.values())) >= self._head_seconds:
                self._late += _cut_off(self._unheard.popitem(last=False)[0])
            for one in [one for one in self._idle if one.transport is None]:
                del self._idle[one]
            if self._late + self._crowded and now - logged > _LOG_SECONDS:
                logged = now
                self._report()

    def _report(self) -> None:
        log.warning(
            "cut off %d connections without a whole request within %g s, and %d silent ones above %d in all",
            self._late,
            self._head_seconds,
            self._crowded,
            self._most,
        )
        self._late = self._crowded = 0


def _is_silent(one: web.RequestHandler) -> bool:
    """Whether its last answer is out: a slow reader's is being written long after its handler ended."""
    return one.transport is None or not one.transport.get_write_buffer_size()


def _cut_off(one: web.RequestHandler) -> bool:
    """Whether the connection was there to be cut off; one that is being accepted is cut off in a moment."""
    if one.transport is None:
        asyncio.get_running_loop().call_soon(_abort, one)
        return False
    _abort(one)
    return True


def _abort(one: web.RequestHandler) -> None:
    if one.transport is not None:
        one.transport.abort()


class Site(web.TCPSite):
    """Listens for connections that are watched."""

    def __init__(
        self, runner: web.AppRunner, sockets: Sockets, host: str, port: int, *, backlog: int = 128
    ) -> None:
        super().__init__(runner, host, port, backlog=backlog)
        self._sockets = sockets

    async def start(self) -> None:
        """Begin to listen."""
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None  # noqa: S101 - the runner is set up
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._sockets.admitted(server()), self._host, self._port, backlog=self._backlog
        )
