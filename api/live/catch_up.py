"""One client's way to a live feed: first what it missed, at its own pace, then what is new, at once.

It reads the past (replay.py) until it is near the feed, then joins it, and reads the rest of the past while
its live frames wait. Between joining and noting where the feed stands no other task runs, so nothing is
missed or sent twice.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from api.live.event_id import EARLIEST, EventId, Missing, behind
from api.live.feed import LiveFeed
from api.live.frames import heartbeat, jittered, opening
from api.live.history import Expired
from api.live.listeners import Client, Frame, Subscription
from api.live.replay import Replay
from api.settings import StreamSettings

_NEAR = 1000
"""Offsets: a client no further behind than this joins the feed."""


@dataclass(slots=True)
class CatchUp:
    """A client that listens to one user, or to all (`key` None)."""

    _feed: LiveFeed
    _replay: Replay
    _settings: StreamSettings
    _key: bytes | None
    _client: Client
    _point: EventId = field(init=False, default=EARLIEST)

    async def frames(self, asked: EventId | None) -> AsyncGenerator[bytes, None]:
        """What the client is sent, from `asked` on (None: from now on).

        Yields the past, and then writes what is new to the client itself.

        Raises:
            Unavailable: Kafka does not answer; before the second frame, unless Kafka loses records later.
        """
        async with self._feed.follower.listening():
            async for frame in self._caught_up(asked):
                yield frame
            with self._feed.listeners.joined(Subscription(self._key, self._client)) as subscription:
                here = self._feed.follower.event_id
                while behind(self._point, here):
                    async for frame in self._slice(here):
                        yield frame
                while waiting := subscription.take():
                    yield waiting
                await self._beat()

    async def _caught_up(self, asked: EventId | None) -> AsyncIterator[bytes]:
        """The opening, what is missing, and the past up to near the feed."""
        self._point, missing = self._feed.follower.event_id, list[Missing]()
        if asked is not None:
            self._point, missing = await self._feed.follower.settled(asked)
        yield opening(str(self._point), jittered(self._settings.retry_milliseconds))
        if missing:
            yield self._feed.gap(self._point, missing, self._key)
        async for frame in self._approach():
            yield frame

    async def _approach(self) -> AsyncIterator[bytes]:
        """The past, until the client is near the feed and not ahead of it.

        A client of one user need not be near: few of the records that arrive in the meantime are its own and
        have to wait, and reading up to a head that moves on might never end.
        """
        while True:
            here = self._feed.follower.event_id
            if self._point.incarnation != here.incarnation:
                yield await self._resettle()
            elif behind(here, self._point):
                # It was served by a process that had read further. Ours will be there soon.
                if not await self._feed.follower.moves():
                    yield heartbeat(str(self._point))
            elif self._key is None and behind(self._point, here) > _NEAR:
                async for frame in self._slice(here):
                    yield frame
            else:
                return

    async def _slice(self, until: EventId) -> AsyncIterator[bytes]:
        """One slice of the past."""
        try:
            part = await self._replay.read(self._feed.follower.topic, self._point, until, self._key)
        except Expired:
            yield await self._resettle()
            return
        self._point = part.position.event_id
        if not part.pieces:
            yield heartbeat(part.position.text)
        for piece in part.pieces:
            yield piece

    async def _resettle(self) -> bytes:
        self._point, missing = await self._feed.follower.settled(self._point)
        return self._feed.gap(self._point, missing, self._key)

    async def _beat(self) -> None:
        """Keep a client that is written to alive, until it is gone."""
        client, settings = self._client, self._settings
        while not client.gone:
            await asyncio.sleep(settings.heartbeat_seconds - client.idle_seconds)
            client.check(settings.send_seconds)
            if client.idle_seconds >= settings.heartbeat_seconds and not client.gone:
                client.write(Frame(heartbeat(self._feed.follower.event_id_text)))
