"""The open streams of one process: how many there may be, how each is served, how all end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from aiohttp import HttpVersion11, web

from api.live.frames import farewell, jittered
from api.live.listeners import Client, Frame
from api.metrics import Metrics
from api.settings import StreamSettings
from api.web.problems import Unavailable
from api.web.route import EVENT_STREAM

Frames = Callable[[Client], AsyncGenerator[bytes, None]]

_HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",  # old clients read Latin-1 without it
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy must not hold frames back
}
_OPENING_SECONDS = 8.0
"""Many clients wait for 10 s."""
_FULL_RETRIES = 5
"""Times the usual wait, after which a client that found every place taken comes back."""


class Connections:
    """At most `stream_clients` streams; `close` ends all of them within a moment."""

    def __init__(self, settings: StreamSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._free = asyncio.Semaphore(settings.stream_clients)
        self._open: dict[asyncio.Task[Any], Client] = {}
        self._closing = False

    async def close(self) -> None:
        """End every stream as a server ends an answer: a client must not take it for an error.

        Each gets a time to come back after, a different one.
        """
        self._closing = True
        for task, client in self._open.items():
            client.part(Frame(farewell(jittered(self._settings.retry_milliseconds), "stopping")))
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=self._settings.send_seconds)

    async def send(self, request: web.Request, frames: Frames) -> web.StreamResponse:
        """Send the frames until they end, the client leaves or does not read, or `close` is called.

        `frames` yields what is written at the client's own pace, and may write live frames to the client
        itself. Without Kafka, or with nothing to send for seconds, the stream ends at once.
        """
        if self._free.locked():
            self._metrics.turn_away("full")
            return self._farewell("full", _FULL_RETRIES)
        async with self._free:
            try:
                return await self._send(request, frames)
            except Unavailable:
                self._metrics.turn_away("unavailable")
                return self._farewell("unavailable")

    def _farewell(self, why: str, retries: int = 1) -> web.Response:
        """A stream that is over at once. Any other status would make a browser give up for good."""
        retry = jittered(self._settings.retry_milliseconds * retries)
        response = web.Response(body=farewell(retry, why), headers=_HEADERS)
        response.force_close()
        return response

    async def _send(self, request: web.Request, frames: Frames) -> web.StreamResponse:
        if request.transport is None:
            raise ConnectionResetError
        client = Client(
            request.transport,
            chunked=request.version >= HttpVersion11,
            limit=self._settings.buffer_bytes,
            count_cut_off=self._metrics.cut_off.inc,
        )
        async with aclosing(frames(client)) as pieces:
            opening = await self._opening(pieces)
            response = web.StreamResponse(headers=_HEADERS)
            if self._closing:
                return self._farewell("stopping")
            await response.prepare(request)
            with self._listed(client):
                try:
                    await self._write(response, opening)
                    async for piece in pieces:
                        await self._write(response, piece)
                except TimeoutError:
                    client.cut()
                except (ConnectionError, Unavailable):
                    pass  # the client left, or was cut off; or has to come back
        return response

    async def _opening(self, pieces: AsyncGenerator[bytes, None]) -> bytes:
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                return await anext(pieces)
        except TimeoutError:
            raise Unavailable("Kafka does not answer.") from None

    async def _write(self, response: web.StreamResponse, piece: bytes) -> None:
        async with asyncio.timeout(self._settings.send_seconds):
            await response.write(piece)

    @contextmanager
    def _listed(self, client: Client) -> Iterator[None]:
        """`close` can end the stream while the block runs."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in one
        self._open[task] = client
        try:
            yield
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
        finally:
            del self._open[task]
