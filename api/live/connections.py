"""The open streams of one process: how many there may be, how each is served, how all end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from aiohttp import HttpVersion11, web

from api.live.frames import CONTENT_TYPE, farewell, jittered
from api.live.listeners import Client, Frame
from api.web.problems import Unavailable

Frames = Callable[[Client], AsyncGenerator[bytes, None]]
_HEADERS = {
    "Content-Type": CONTENT_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy must not hold frames back
}
_FULL_RETRIES = 5
"""How many times as late as others a client comes back that found no place."""


class Connections:
    """At most `limit` streams; `close` ends all of them within a moment."""

    def __init__(
        self,
        *,
        limit: int,
        buffer_bytes: int,
        send_seconds: float,
        retry_milliseconds: int,
        count_cut_off: Callable[[], None],
        count_turned_away: Callable[[], None],
    ) -> None:
        self._limit = limit
        self._buffer_bytes = buffer_bytes
        self._send_seconds = send_seconds
        self._retry_milliseconds = retry_milliseconds
        self._count_cut_off = count_cut_off
        self._count_turned_away = count_turned_away
        self._places = 0
        self._open: dict[asyncio.Task[Any], Client] = {}
        self._closing = False

    async def close(self) -> None:
        """Ends every stream as a server ends an answer, so that no client takes it for an error.

        Each is told when to come back, at different times.
        """
        self._closing = True
        for task, client in self._open.items():
            client.part(Frame(farewell(jittered(self._retry_milliseconds), "stopping")))
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=self._send_seconds)

    @property
    def full(self) -> bool:
        """Whether no more are let in."""
        return self._places >= self._limit

    def turn_away(self) -> web.StreamResponse:
        """Tells a client to come back later."""
        self._count_turned_away()
        return self._farewell(self._retry_milliseconds * _FULL_RETRIES, "full")

    @staticmethod
    def _farewell(retry_milliseconds: int, why: str) -> web.Response:
        """A stream that is over at once. Any other status would make a browser give up for good."""
        response = web.Response(body=farewell(jittered(retry_milliseconds), why), headers=_HEADERS)
        response.force_close()
        return response

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places is taken while inside."""
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    async def send(self, request: web.Request, frames: Frames) -> web.StreamResponse:
        """Sends the frames until they end, the client leaves or does not read, or `close` is called.

        `frames` yields what has to be written at the client's own pace, and may write live frames
        to the client itself in between. An error before the first frame is the request's; a later
        one ends the stream, and the client comes back to where it was.
        """
        client = self._client(request)
        async with aclosing(frames(client)) as pieces:
            opening = await anext(pieces)
            response = web.StreamResponse(headers=_HEADERS)
            if self._closing:
                return self._farewell(self._retry_milliseconds, "stopping")
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

    def _client(self, request: web.Request) -> Client:
        if request.transport is None:
            raise ConnectionResetError
        return Client(
            request.transport,
            chunked=request.version >= HttpVersion11,
            limit=self._buffer_bytes,
            count_cut_off=self._count_cut_off,
        )

    async def _write(self, response: web.StreamResponse, piece: bytes) -> None:
        async with asyncio.timeout(self._send_seconds):
            await response.write(piece)

    @contextmanager
    def _listed(self, client: Client) -> Iterator[None]:
        """The stream can be ended by `close` while inside."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a handler runs in one
        self._open[task] = client
        try:
            yield
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
        finally:
            del self._open[task]
