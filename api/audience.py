"""Who hears a feed, and what waits for each of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Subscription:
    """The frames that wait for one client: bounded, and the client is cut off when they are too many."""

    __slots__ = ("_bytes", "_cut", "_frames", "_limit", "_lost", "_ready", "key")

    def __init__(self, key: bytes | None, limit: int, cut: Callable[[], None]) -> None:
        self.key = key
        self._limit = limit
        self._cut = cut
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._lost = False
        self._ready = asyncio.Event()

    def push(self, frame: bytes) -> bool:
        """Queues a frame; False if there is no room, and then the client is cut off."""
        if self._frames and self._bytes + len(frame) > self._limit:
            self._lost = True
            self._ready.set()
            self._cut()
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        self._ready.set()
        return True

    async def take(self, seconds: float) -> bytes:
        """All frames that wait, as soon as there is one; empty when none came in time.

        Raises ConnectionError once a frame was lost: nothing may follow a hole.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return b""
        if self._lost:
            raise ConnectionAbortedError
        taken = b"".join(self._frames)
        self._frames.clear()
        self._bytes = 0
        self._ready.clear()
        return taken


class Audience:
    """Subscriptions by key; the key None hears every record."""

    def __init__(self) -> None:
        self._by_key: dict[bytes | None, set[Subscription]] = {}

    @contextmanager
    def joined(self, subscription: Subscription) -> Iterator[Subscription]:
        """It is told of every record from now on, while inside."""
        self._by_key.setdefault(subscription.key, set()).add(subscription)
        try:
            yield subscription
        finally:
            self.discard(subscription)

    def discard(self, subscription: Subscription) -> None:
        """It is told no more; idempotent."""
        those = self._by_key.get(subscription.key, set())
        those.discard(subscription)
        if not those:
            self._by_key.pop(subscription.key, None)

    def of(self, key: bytes | None) -> tuple[Subscription, ...]:
        """Those who hear a record with this key."""
        everyone = self._by_key.get(None, ())
        return (*everyone, *self._by_key.get(key, ())) if key is not None else tuple(everyone)

    def everyone(self) -> list[Subscription]:
        """All of them."""
        return [subscription for those in self._by_key.values() for subscription in those]
