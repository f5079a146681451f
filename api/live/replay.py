"""The past of a topic, for a client that comes back: committed records between two positions.

Slices are bounded in bytes and in time, so that a client with much to catch up on does not keep the others
waiting, and no more is held for a client than it is being sent.
"""

import asyncio
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import TopicPartition

from api.live.broker import Broker, Topic
from api.live.event_id import EventId, text_of
from api.live.frames import event
from api.live.history import Block, History

_SLICE_FRAMES = 500
_SLICE_BYTES = 1 << 20
"""A client is sent the frames of a slice at its own pace, so each client may hold so many, and one frame."""
_SLICE_SECONDS = 5.0
_READ_AT_ONCE = 4
"""Partitions read for a client at a time. It has no tasks of its own: those of 500 clients for 200 partitions
each held all of them up."""


@dataclass(slots=True)
class Slice:
    """The frames read of one slice, and the position after them."""

    frames: list[bytes]
    offsets: dict[int, int]
    size: int = 0

    @property
    def full(self) -> bool:
        """Whether it holds as much as a slice may."""
        return len(self.frames) >= _SLICE_FRAMES or self.size >= _SLICE_BYTES

    def lacks(self, number: int, until: EventId) -> bool:
        """Whether the partition is not read to there."""
        return self.offsets.get(number, 0) < until.offsets.get(number, 0)

    def take(self, block: Block, number: int, until: EventId, key: bytes | None, most: int) -> None:
        """Go on in this block, until it ends, or the slice is full or has `most` frames more."""
        entries = block.all if key is None else block.by_key.get(key, [])
        end, before = min(block.until, until.offsets[number]), len(self.frames)
        for offset, value in entries[bisect_left(entries, (self.offsets.get(number, 0),)) :]:
            if offset >= end:
                break
            if self.full or len(self.frames) - before >= most:
                return
            self.offsets[number] = offset + 1
            frame = event(value, text_of(until.incarnation, self.offsets))
            self.frames.append(frame)
            self.size += len(frame)
        self.offsets[number] = end


class Replay:
    """Cuts slices from topics' pasts."""

    def __init__(self, broker: Broker, *, readers: int) -> None:
        self._history = History(broker, readers=readers)

    async def aclose(self) -> None:
        """Close the consumers."""
        await self._history.aclose()

    async def read(self, topic: Topic, start: EventId, until: EventId, key: bytes | None) -> Slice:
        """One slice from `start` towards `until`, of the records with this key (None: all).

        Without Kafka the slice is empty, after a pause; the caller tries again.

        Raises:
            Expired: Kafka no longer has some of the records.
        """
        part = Slice([], dict(start.offsets))
        # A share of each partition for who hears all: none comes long after another.
        most = max(_SLICE_FRAMES // len(topic.partitions), 1) if key is None else _SLICE_FRAMES
        turn = _Turn(self._history, topic, part, until, key, most)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SLICE_SECONDS):
                await turn.fill()
        return part


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
            for one in some:
                if not self._take(await self._history.block(self._topic, one, *self._stretch(one)), one):
                    return False
        return True

    def _take_kept(self, one: TopicPartition) -> bool:
        block = self._history.kept(self._topic, one, self._part.offsets.get(one.partition, 0))
        return self._take(block, one)

    def _stretch(self, one: TopicPartition) -> tuple[int, int]:
        return self._part.offsets.get(one.partition, 0), self._until.offsets[one.partition]

    def _take(self, block: Block | None, one: TopicPartition) -> bool:
        if block is not None:
            self._part.take(block, one.partition, self._until, self._key, self._most)
        return block is not None
