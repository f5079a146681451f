"""Who hears a feed, and what waits for each of them until it has caught up."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.live.clients import Client, Frame


class Subscription:
    """A client that hears the records of one key (None: all).

    Frames wait, bounded, while the client is still being sent the past; then it is written to directly.
    """

    __slots__ = ("_bytes", "_client", "_waiting", "key")

    def __init__(self, key: bytes | None, client: Client) -> None:
        self.key = key
        self._client = client
        self._waiting: list[Frame] | None = []
        self._bytes = 0

    def push(self, frame: Frame) -> bool:
        """Sends a frame, or lets it wait; False if there is no room, and then the client is cut off."""
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

        Raises ConnectionError once the client was cut off: nothing may follow a hole.
        """
        if self._client.gone:
            raise ConnectionAbortedError
        taken, self._bytes = self._waiting, 0
        self._waiting = [] if taken else None
        return b"".join([frame.raw for frame in taken or ()])


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
