"""Server-sent events: how frames look on the wire, and how they get to one client.

An `id:` without data is an event stream's way to move a client's Last-Event-ID and nothing else.
Openings and heartbeats use it, so that a client that has seen no event, or none for long,
comes back to where it was.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec
from aiohttp import web

from api.problems import Unavailable

CONTENT_TYPE = "text/event-stream"

_PIECE_BYTES = 1 << 16


def event(row: bytes, position: str) -> bytes:
    """The frame of a row, after which a client stands at this position."""
    if b"\n" in row or b"\r" in row:  # never ours; the white space of another producer's JSON
        row = b"\ndata: ".join(row.splitlines())
    return b"id: %b\ndata: %b\n\n" % (position.encode(), row)


def named_event(name: str, data: Any, position: str) -> bytes:
    """The frame of an event that is not a row."""
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), position.encode(), msgspec.json.encode(data))


def heartbeat(position: str) -> bytes:
    """A comment, and the position that the client has reached."""
    return b": heartbeat\nid: %b\n\n" % position.encode()


def opening(position: str, retry_milliseconds: int) -> bytes:
    """The first frame: a comment, when to come back, and where the stream starts."""
    return b": txnwatch\nretry: %d\nid: %b\n\n" % (retry_milliseconds, position.encode())


def pieces(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer and larger writes."""
    gathered: list[bytes] = []
    size = 0
    for frame in frames:
        gathered.append(frame)
        size += len(frame)
        if size >= _PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def jittered(retry_milliseconds: int) -> int:
    """Up to twice the time, so that clients cut off together do not come back together."""
    return round(retry_milliseconds * random.uniform(1, 2))  # noqa: S311  # not a secret


class Streams:
    """The open streams of this process; `close` ends all of them within a moment."""

    def __init__(self, *, send_seconds: float, count_cut_off: Callable[[], None]) -> None:
        self._send_seconds = send_seconds
        self._count_cut_off = count_cut_off
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    async def close(self) -> None:
        """Ends every stream as a server ends an answer, so that no client takes it for an error."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._send_seconds)

    def cutter(self, request: web.Request) -> Callable[[], None]:
        """What cuts this request's client off at once, with whatever it has not read."""
        transport = request.transport

        def cut() -> None:
            self._count_cut_off()
            if transport is not None:
                transport.abort()

        return cut

    async def send(self, request: web.Request, frames: AsyncGenerator[bytes, None]) -> web.StreamResponse:
        """Sends the frames until they end, the client leaves or does not read, or `close` is called.

        An error before the first frame is the request's; a later one ends the stream, and the
        client comes back to where it was.
        """
        async with aclosing(frames):
            opening_frame = await anext(frames)
            response = web.StreamResponse(
                headers={
                    "Content-Type": CONTENT_TYPE,
                    "Cache-Control": "no-store",
                    "X-Accel-Buffering": "no",  # a proxy must not hold frames back
                }
            )
            with self._open(request.transport):
                await response.prepare(request)
                try:
                    await self._write(response, opening_frame)
                    async for frame in frames:
                        await self._write(response, frame)
                except TimeoutError:
                    self.cutter(request)()
                except (ConnectionError, Unavailable):
                    pass  # the client left, or was cut off; or has to come back
        return response

    async def _write(self, response: web.StreamResponse, frame: bytes) -> None:
        async with asyncio.timeout(self._send_seconds):
            await response.write(frame)

    @contextmanager
    def _open(self, transport: asyncio.Transport | None) -> Iterator[None]:
        """The stream can be ended by `close` while inside."""
        task = asyncio.current_task()
        if task is None or self._closing:
            raise Unavailable("api", "This process is stopping.")
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
            if transport is not None and transport.get_write_buffer_size():
                transport.abort()  # waiting for a client that does not read would hold up the stop
        finally:
            self._tasks.discard(task)
