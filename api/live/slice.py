"""A slice of a topic's past: frames of what comes next for a client, bounded in number and bytes."""

from bisect import bisect_left
from dataclasses import dataclass, field

from api.live.event_id import EventId, Position
from api.live.frames import event, pieces
from api.live.history import Block

SLICE_FRAMES = 500
_SLICE_BYTES = 1 << 20
"""A slice ends at 500 frames or 1 MB: a slow client keeps a slice, and the frame it is at, in memory."""


@dataclass(slots=True)
class Slice:
    """The frames read of one slice, and the position after them."""

    position: Position
    count: int = 0
    """How many frames there are."""
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)
    """The frames, as they are written."""
    _frames: list[bytes] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether it holds as much as a slice may."""
        return self.count >= SLICE_FRAMES or self.size >= _SLICE_BYTES

    def lacks(self, number: int, until: EventId) -> bool:
        """Whether the partition is not read to there."""
        return self.position.offsets[number] < until.offsets[number]

    def take(self, block: Block, number: int, until: EventId, key: bytes | None, most: int) -> None:
        """Go on in this block, until it ends, or the slice is full or has `most` frames more."""
        entries = block.all if key is None else block.by_key.get(key, [])
        end, before = min(block.until, until.offsets[number]), self.count
        for offset, value in entries[bisect_left(entries, (self.position.offsets[number],)) :]:
            if offset >= end:
                break
            if self.full or self.count - before >= most:
                return
            self.position.move(number, offset + 1)
            self._add(event(value, self.position.text))
        self.position.move(number, end)

    def gather(self) -> None:
        """Put the frames together, once it has all."""
        self.pieces, self._frames = [*pieces(self._frames)], []

    def _add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self.count += 1
        self.size += len(frame)
