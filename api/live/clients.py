"""One client's end of an open stream.

Live frames are written to the client's transport at once, without a task or a queue in between:
what the client has not read waits there, bounded, and the frame itself is shared by all clients.
"""

import time
from asyncio import WriteTransport
from collections.abc import Callable


class Frame:
    """The bytes of one event, as they are and as a chunk of an HTTP/1.1 answer; made once for all clients."""

    __slots__ = ("chunk", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.chunk = b"%x\r\n%b\r\n" % (len(raw), raw)


class Client:
    """Writes to one client, and cuts it off when too much waits for it or nothing is read for too long."""

    __slots__ = (
        "_chunked",
        "_count_cut_off",
        "_limit",
        "_moved_at",
        "_read",
        "_sent",
        "_transport",
        "_wrote_at",
        "gone",
    )

    def __init__(
        self, transport: WriteTransport, *, chunked: bool, limit: int, count_cut_off: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._chunked = chunked
        self._limit = limit
        self._count_cut_off = count_cut_off
        self._sent = 0
        self._read = 0
        self._moved_at = self._wrote_at = time.monotonic()
        self.gone = False
        """Cut off, or left: nothing more can be written."""

    @property
    def limit(self) -> int:
        """How many bytes may wait."""
        return self._limit

    @property
    def idle_seconds(self) -> float:
        """How long nothing was written."""
        return time.monotonic() - self._wrote_at

    def write(self, frame: Frame) -> bool:
        """Writes the frame; False when the client has left, or is cut off as there was no room."""
        if self._transport.is_closing():  # uvloop's would raise, and what is published is for others, too
            self.gone = True
            return False
        if self._transport.get_write_buffer_size() > self._limit:
            self.cut()
            return False
        data = frame.chunk if self._chunked else frame.raw
        self._transport.write(data)
        self._sent += len(data)
        self._wrote_at = time.monotonic()
        return True

    def check(self, seconds: float) -> None:
        """Cuts the client off if it has read nothing of what waits for it for so long."""
        waiting = self._transport.get_write_buffer_size()
        read, now = self._sent - waiting, time.monotonic()
        if not waiting or read != self._read:
            self._read, self._moved_at = read, now
        elif now - self._moved_at >= seconds:
            self.cut()

    def cut(self) -> None:
        """Ends the connection at once, with whatever the client has not read; idempotent."""
        if not self.gone:
            self.gone = True
            self._count_cut_off()
            self._transport.abort()

    def part(self, last: Frame) -> None:
        """Sends the last frame, if it reads; a client that does not would hold up the stop, and is let go."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self.write(last)
