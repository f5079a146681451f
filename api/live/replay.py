"""The past of a topic, for a client that comes back: committed records between two positions.

Slices are bounded in bytes and in time, so that a client with much to catch up on does not keep the others
waiting, and no more is held for a client than it is being sent.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from aiokafka import TopicPartition

from api.live.broker import Broker, Topic
from api.live.event_id import EventId, Position
from api.live.history import Block, History
from api.live.shared import SharedSlices
from api.live.slice import SLICE_FRAMES, Slice

_SLICE_SECONDS = 5.0
_READ_AT_ONCE = 50
"""Partitions read for a client at a time. It has no tasks of its own, and waits for the last of them alone:
500 clients that woke up for each block of 200 partitions cost more than the reading."""


class Replay:
    """Cuts slices from topics' pasts."""

    def __init__(self, broker: Broker, *, readers: int) -> None:
        self._history = History(broker, readers=readers)
        self._shared = SharedSlices(partial(self._cut, key=None))

    async def aclose(self) -> None:
        """Close the consumers."""
        self._shared.close()
        await self._history.aclose()

    async def read(self, topic: Topic, start: EventId, until: EventId, key: bytes | None) -> Slice:
        """One slice from `start` towards `until`, of the records with this key (None: all).

        Without Kafka the slice is empty, after a pause; the caller tries again.

        Raises:
            Expired: Kafka no longer has some of the records.
        """
        start, until = _of_all(topic, start), _of_all(topic, until)
        if key is None:
            return await self._shared.read(topic, start, until)
        return await self._cut(topic, start, until, key)

    async def _cut(self, topic: Topic, start: EventId, until: EventId, key: bytes | None) -> Slice:
        part = Slice(Position(start))
        # A share of each partition for who hears all: none comes long after another.
        most = max(SLICE_FRAMES // len(topic.partitions), 1) if key is None else SLICE_FRAMES
        turn = _Turn(self._history, topic, part, until, key, most)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SLICE_SECONDS):
                await turn.fill()
        part.gather()
        return part


def _of_all(topic: Topic, point: EventId) -> EventId:
    """The same with a partition that was added since, from its beginning."""
    if len(point.offsets) == len(topic.partitions):
        return point
    none = {partition.partition: 0 for partition in topic.partitions}
    return EventId(point.incarnation, none | dict(point.offsets))


@dataclass(frozen=True, slots=True)
class _Turn:
    """One client's turn: fills a slice, and keeps what it has when time is up."""

    _history: History
    _topic: Topic
    _part: Slice
    _until: EventId
    _key: bytes | None
    _most: int

    async def fill(self) -> None:
        """Take a block of each partition in turn, until the slice is full, or there is no more just now."""
        while not self._part.full:
            ahead = [one for one in self._topic.partitions if self._part.lacks(one.partition, self._until)]
            if not ahead or not await self._taken(ahead):
                return
            await asyncio.sleep(0)  # all of it may be kept, and the others would have to wait

    async def _taken(self, ahead: list[TopicPartition]) -> bool:
        """Take a block of each, first of those that need not be read; False where one is not to be had."""
        late = [one for one in ahead if not self._take_kept(one)]
        for at in range(0, len(late), _READ_AT_ONCE):
            if self._part.full:
                break
            some = [one for one in late[at : at + _READ_AT_ONCE] if not self._take_kept(one)]
            for one in some:
                self._history.begin(self._topic, one, *self._stretch(one))
            for one in reversed(some):  # the last comes last
                if not self._take(await self._history.block(self._topic, one, *self._stretch(one)), one):
                    return False
        return True

    def _take_kept(self, one: TopicPartition) -> bool:
        block = self._history.kept(self._topic, one, self._part.position.offsets[one.partition])
        return self._take(block, one)

    def _stretch(self, one: TopicPartition) -> tuple[int, int]:
        return self._part.position.offsets[one.partition], self._until.offsets[one.partition]

    def _take(self, block: Block | None, one: TopicPartition) -> bool:
        if block is not None:
            self._part.take(block, one.partition, self._until, self._key, self._most)
        return block is not None
