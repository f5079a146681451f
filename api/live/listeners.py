"""The listeners of a feed: clients by the key that they listen to, and what waits for each of them.

A live frame is made once, shared by all clients, and written to each client's transport at once, without a
task or a queue in between. What a client has not read waits in its transport, bounded.
"""

import time
from asyncio import WriteTransport
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field


class Frame:
    """The bytes of one event, as they are and as a chunk of an HTTP/1.1 answer; made once for all clients."""

    __slots__ = ("chunk", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.chunk = b"%x\r\n%b\r\n" % (len(raw), raw)


@dataclass(slots=True, eq=False)
class Client:
    """One client; it is cut off when more than `limit` bytes wait for it or it reads nothing for too long."""

    _transport: WriteTransport
    _: KW_ONLY
    chunked: bool
    limit: int
    """How many bytes may wait."""
    count_cut_off: Callable[[], None]
    gone: bool = field(init=False, default=False)
    """Cut off, or left: nothing more can be written."""
    _sent: int = field(init=False, default=0)
    _read: int = field(init=False, default=0)
    _moved_at: float = field(init=False)
    _wrote_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._moved_at = self._wrote_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """The time since the last write."""
        return time.monotonic() - self._wrote_at

    def write(self, frame: Frame) -> bool:
        """Write the frame; False when the client has left, or is cut off as there was no room."""
        if self._transport.is_closing():  # uvloop's write raises, and the frame would reach no other client
            self.gone = True
            return False
        if self._transport.get_write_buffer_size() > self.limit:
            self.cut()
            return False
        data = frame.chunk if self.chunked else frame.raw
        self._transport.write(data)
        self._sent += len(data)
        self._wrote_at = time.monotonic()
        return True

    def check(self, seconds: float) -> None:
        """Cut the client off if it has read nothing of what waits for it for so long."""
        waiting = self._transport.get_write_buffer_size()
        read, now = self._sent - waiting, time.monotonic()
        if not waiting or read != self._read:
            self._read, self._moved_at = read, now
        elif now - self._moved_at >= seconds:
            self.cut()

    def cut(self) -> None:
        """End the connection at once, with whatever the client has not read; idempotent."""
        if not self.gone:
            self.gone = True
            self.count_cut_off()
            self._transport.abort()

    def part(self, last: Frame) -> None:
        """Send the last frame, or cut off a client that does not read: it would hold up the stop."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self.write(last)


@dataclass(slots=True, eq=False)
class Subscription:
    """A client that gets the records of one key (None: all).

    Frames wait, bounded, while the client is still being sent the past; then it is written to directly.
    """

    key: bytes | None
    _client: Client
    _waiting: list[Frame] | None = field(init=False, default_factory=list)
    _bytes: int = field(init=False, default=0)

    def push(self, frame: Frame) -> bool:
        """Send a frame, or let it wait; False if there is no room, and then the client is cut off."""
        if self._waiting is None:
            return self._client.write(frame)
        if self._waiting and self._bytes + len(frame.raw) > self._client.limit:
            self._client.cut()
            return False
        self._waiting.append(frame)
        self._bytes += len(frame.raw)
        return True

    def take(self) -> bytes:
        """What waits. When that is nothing, frames go to the client directly from now on.

        Raises:
            ConnectionError: The client was cut off: it lacks a frame, so no other may follow.
        """
        if self._client.gone:
            raise ConnectionAbortedError
        taken, self._bytes = self._waiting, 0
        self._waiting = [] if taken else None
        return b"".join([frame.raw for frame in taken or ()])


class Listeners:
    """Subscriptions by key; those of the key None get every record."""

    def __init__(self) -> None:
        self._by_key: dict[bytes | None, set[Subscription]] = {}

    @contextmanager
    def joined(self, subscription: Subscription) -> Iterator[Subscription]:
        """Have it get every record of its key while the block runs."""
        self._by_key.setdefault(subscription.key, set()).add(subscription)
        try:
            yield subscription
        finally:
            self.discard(subscription)

    def discard(self, subscription: Subscription) -> None:
        """Have it get no more records; idempotent."""
        same_key = self._by_key.get(subscription.key, set())
        same_key.discard(subscription)
        if not same_key:
            self._by_key.pop(subscription.key, None)

    def of(self, key: bytes | None) -> tuple[Subscription, ...]:
        """Those that get a record with this key."""
        everyone = self._by_key.get(None, ())
        return (*everyone, *self._by_key.get(key, ())) if key is not None else tuple(everyone)

    def everyone(self) -> list[Subscription]:
        """All of them."""
        return [subscription for same_key in self._by_key.values() for subscription in same_key]
