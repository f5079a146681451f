"""One client's way to a live feed: first what it missed, at its own pace, then what comes, as it comes.

It reads the past (replay.py) until it is near the feed, then joins it, and reads what is left of the
past while its live frames wait. Between joining and noting where the feed stands nothing else runs, so
nothing is missed or sent twice.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from api.live.event_id import EventId, Missing, behind
from api.live.feed import Feed
from api.live.frames import heartbeat, jittered, opening, pieces
from api.live.listeners import Client, Frame
from api.live.replay import Expired

_NEAR = 1000
"""Offsets: a client no further behind than this joins the feed."""


class CatchUp:
    """A client that hears one user, or all (`key` None); to be used while the feed is listened to."""

    def __init__(self, feed: Feed, key: bytes | None, client: Client) -> None:
        self._feed = feed
        self._key = key
        self._client = client
        self._point = feed.point

    async def frames(self, asked: EventId | None) -> AsyncGenerator[bytes, None]:
        """What the client is sent, from `asked` on (None: from now on).

        Yields what is of the past, and then writes what is new to the client itself. Raises
        Unavailable, at the latest before the second frame unless Kafka loses records meanwhile.
        """
        missing: list[Missing] = []
        if asked is not None:
            self._point, missing = await self._feed.settled(asked)
        yield opening(str(self._point), jittered(self._feed.pace.retry_milliseconds))
        if missing:
            yield self._feed.gap(self._point, missing, self._key)
        async for frame in self._approach():
            yield frame
        with self._feed.joined(self._key, self._client) as subscription:
            here = self._feed.point
            while behind(self._point, here):
                async for frame in self._slice(here):
                    yield frame
            while waiting := subscription.take():
                yield waiting
            await self._beat()

    async def _approach(self) -> AsyncIterator[bytes]:
        """The past, until the client is near the feed and not ahead of it.

        Who hears one user need not be near: of what comes meanwhile little is theirs and has to wait, and
        reading up to a head that moves on might never end.
        """
        while True:
            here = self._feed.point
            if self._point.incarnation != here.incarnation:
                yield await self._resettle()
            elif behind(here, self._point):
                # It was served by a process that had read further. Ours will be there soon.
                if not await self._feed.moves():
                    yield heartbeat(str(self._point))
            elif self._key is None and behind(self._point, here) > _NEAR:
                async for frame in self._slice(here):
                    yield frame
            else:
                return

    async def _slice(self, until: EventId) -> AsyncIterator[bytes]:
        """One slice of the past."""
        try:
            part = await self._feed.past(self._point, until, self._key)
        except Expired:
            yield await self._resettle()
            return
        self._point = EventId(self._point.incarnation, part.offsets)
        if not part.frames:
            yield heartbeat(str(self._point))
        for piece in pieces(part.frames):
            yield piece

    async def _resettle(self) -> bytes:
        self._point, missing = await self._feed.settled(self._point)
        return self._feed.gap(self._point, missing, self._key)

    async def _beat(self) -> None:
        """Keeps a client that is written to alive, until it is gone."""
        client, pace = self._client, self._feed.pace
        while not client.gone:
            await asyncio.sleep(pace.heartbeat_seconds - client.idle_seconds)
            client.check(pace.send_seconds)
            if client.idle_seconds >= pace.heartbeat_seconds and not client.gone:
                client.write(Frame(heartbeat(str(self._feed.point))))
