"""The past of a topic, for a client that comes back: committed records between two positions.

Slices are bounded in bytes and in time, so that a client with much to catch up on does not keep the others
waiting, and no more is held for a client than it is being sent.
"""

import asyncio
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass

from api.live.broker import Broker, Topic
from api.live.event_id import EventId, text_of
from api.live.frames import event
from api.live.history import Block, History

_SLICE_FRAMES = 500
_SLICE_BYTES = 1 << 20
"""A client is sent the frames of a slice at its own pace, so each client may hold so many, and one frame."""
_SLICE_SECONDS = 5.0


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
        with suppress(TimeoutError):
            async with asyncio.timeout(_SLICE_SECONDS):
                await self._fill(part, topic, until, key)
        return part

    async def _fill(self, part: Slice, topic: Topic, until: EventId, key: bytes | None) -> None:
        """Take a block of each partition, a share of it for who hears all: none comes long after another."""
        most = max(_SLICE_FRAMES // len(topic.partitions), 1) if key is None else _SLICE_FRAMES
        while ahead := [one for one in topic.partitions if part.lacks(one.partition, until)]:
            asked = [(one, part.offsets.get(one.partition, 0), until.offsets[one.partition]) for one in ahead]
            blocks = await asyncio.gather(*(self._history.block(topic, *place) for place in asked))
            for partition, block in zip(ahead, blocks, strict=True):
                if block is not None:
                    part.take(block, partition.partition, until, key, most)
            if part.full or None in blocks:
                return
