"""Slices of topics' pasts for who hears all: each is cut once, and sent to all who stand at its beginning.

Clients that were cut off come back to slightly different places. A slice ends where one that is kept begins
or ends, if it comes to such a place: from there on they are sent the same.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from operator import le

from api.live.broker import Topic
from api.live.event_id import EventId, Position
from api.live.shelf import Shelf
from api.live.slice import Slice

_KEPT_SECONDS = 60.0
"""Longer than clients take that come back together."""
_KEPT_BYTES = 64 << 20
_WAIT_SECONDS = 3.0
"""With the time of a cut still less than clients wait for a sign of life."""

Cut = Callable[[Topic, EventId, EventId], Awaitable[Slice]]
_Place = tuple[int, ...]
"""The offset of each partition."""


class SharedSlices:
    """Cuts one slice of a topic at a time, and keeps it for a while."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._kept: defaultdict[Topic, dict[_Place, Slice]] = defaultdict(dict)
        self._one_at_a_time: defaultdict[Topic, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._shelf = Shelf(seconds=_KEPT_SECONDS, size=_KEPT_BYTES)

    def close(self) -> None:
        """Keep nothing more."""
        self._shelf.close()

    async def read(self, topic: Topic, start: EventId, until: EventId) -> Slice:
        """The slice from `start` towards `until`, never beyond it; an empty one where others take long.

        Raises:
            Expired: Kafka no longer has some of the records.
        """
        here, end = _place(start), _place(until)
        if found := self._find(topic, here, end):
            return found
        with suppress(TimeoutError):
            async with self._turn(topic):
                found = self._find(topic, here, end)
                return found or await self._cut_here(topic, start, until)
        return Slice(Position(start))

    @asynccontextmanager
    async def _turn(self, topic: Topic) -> AsyncIterator[None]:
        lock = self._one_at_a_time[topic]
        async with asyncio.timeout(_WAIT_SECONDS):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def _cut_here(self, topic: Topic, start: EventId, until: EventId) -> Slice:
        here = _place(start)
        part = await self._cut(topic, start, self._meeting(topic, here, until))
        if part.pieces and here not in self._kept[topic]:
            self._kept[topic][here] = part
            self._shelf.put(part.size, partial(self._kept[topic].pop, here))
        return part

    def _find(self, topic: Topic, here: _Place, end: _Place) -> Slice | None:
        """What was cut here, unless it ends beyond: its rest may wait for the client among what is new."""
        found = self._kept[topic].get(here)
        return found if found and _reaches(_place(found.position), end) else None

    def _meeting(self, topic: Topic, here: _Place, until: EventId) -> EventId:
        """Where to go: the nearest place that others come by, or `until`."""
        kept, end = self._kept[topic], _place(until)
        places = {*kept, *(_place(part.position) for part in kept.values())} - {here}
        ahead = [place for place in places if _reaches(here, place) and _reaches(place, end)]
        nearest = min(ahead, key=sum, default=end)
        return EventId(until.incarnation, dict(enumerate(nearest)))


def _place(point: EventId | Position) -> _Place:
    return tuple(map(point.offsets.__getitem__, range(len(point.offsets))))


def _reaches(one: _Place, other: _Place) -> bool:
    """Whether reading on comes from one place to the other."""
    return all(map(le, one, other))
