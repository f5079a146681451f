"""The order in which foreign records become transactions: as they are fetched, or by their timestamps.

Where a user's messages are on several partitions, their order is that of the records' timestamps: `Merged`
takes the record with the smallest one of all partitions once none can bring a smaller one. That is so for all
records that are on their partition within `wait` of their timestamps: a partition that has more to be read is
read up to `wait` before its newest record, and one that has not up to `wait` before its end was last seen.

Producers keep records back, each for as long as it likes, so timestamps fall along a partition, and what is
taken is no beginning of it. The group's offset is then that of the first record that is not taken, and a note
beside it says what is taken beyond.
"""

import logging
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from infra.runtime.group_transactions import Offsets
from infra.runtime.kafka import Records

log = logging.getLogger(__name__)

Sourced: TypeAlias = tuple[TopicPartition, Any]
"""A fetched record, and where it is from."""
Fetched: TypeAlias = Mapping[TopicPartition, Records]

_HELD_BYTES = 128 << 20  # of all partitions together, as values
_REMEMBERED = 20_000
_NOTE = "txnwatch"
_NO_TIME = 4_102_444_800_000  # 2100, in milliseconds: some producers count in another unit


class Reached(NamedTuple):
    """How far a partition is read: whether to its end, when (milliseconds) that was so, the next offset."""

    at_end: bool
    seen_ms: int
    position: int = 0


class TakenBeyond(NamedTuple):
    """Of the records before `end`, those up to this timestamp, and of this one those up to `offset`."""

    end: int = 0
    stamp: int = -1
    offset: int = -1

    def has(self, record: Any) -> bool:
        """Whether the record is among them."""
        return record.offset < self.end and (_stamp(record), record.offset) <= self[1:]

    def note(self) -> str:
        """What stands beside the group's offset."""
        return " ".join(map(str, (_NOTE, *self)))

    @classmethod
    def noted(cls, note: str) -> Self:
        """What a note says; nothing is taken if it is none of these."""
        name, *numbers = note.split(" ")
        return cls(*map(int, numbers)) if name == _NOTE else cls()


def _stamp(record: Any) -> int:
    """The timestamp, or 0 where it is none."""
    stamp: int = record.timestamp
    return stamp if 0 <= stamp < _NO_TIME else 0


class Order(Protocol):
    """What is fetched goes in; what is to be converted next comes out."""

    def begin(self, taken: Mapping[TopicPartition, TakenBeyond]) -> None:
        """Forget what went in: these partitions are ours now, and so much of each is taken."""

    def put(self, fetched: Fetched) -> None:
        """Take what was fetched."""

    def take(self, reached: Mapping[TopicPartition, Reached], most: int) -> Sequence[Sourced]:
        """The next records, about so many at most; `reached` has every partition of ours."""

    def offsets(self) -> Offsets:
        """The group's next offsets of those partitions that the last records were from."""

    def full(self) -> set[TopicPartition]:
        """The partitions of which nothing more is to be fetched for now."""

    def held(self, source: TopicPartition) -> int:
        """How many records of a partition went in and have not come out."""


class Arrived:
    """As they are fetched."""

    def __init__(self) -> None:
        self.begin({})

    def begin(self, taken: Mapping[TopicPartition, TakenBeyond]) -> None:
        """Forget what went in; what is taken already was taken by timestamps."""
        self._records: list[Sourced] = []
        self._taken = taken
        self._offsets: dict[TopicPartition, int] = {}

    def put(self, fetched: Fetched) -> None:
        """Take what was fetched."""
        for source, records in fetched.items():
            taken = self._taken.get(source, TakenBeyond())
            self._records += [(source, record) for record in records if not taken.has(record)]

    def take(self, _reached: Mapping[TopicPartition, Reached], most: int) -> Sequence[Sourced]:
        """The first of them."""
        records, self._records = self._records[:most], self._records[most:]
        self._offsets = {source: record.offset + 1 for source, record in records}
        return records

    def offsets(self) -> Offsets:
        """Those after the last records."""
        return {one: self._committed(offset, self._taken.get(one)) for one, offset in self._offsets.items()}

    def _committed(self, offset: int, taken: TakenBeyond | None) -> OffsetAndMetadata:
        return OffsetAndMetadata(offset, taken.note() if taken and offset < taken.end else "")

    def full(self) -> set[TopicPartition]:
        """None."""
        return set()

    def held(self, source: TopicPartition) -> int:
        """How many of the partition are not taken."""
        return sum(one == source for one, _ in self._records)


class _Queue:
    """A partition's records that are not taken yet, by timestamp and offset."""

    def __init__(self, taken: TakenBeyond) -> None:
        self.records: list[tuple[int, int, Any]] = []
        self.size = 0
        self._before = taken
        self._taken = taken
        self._newest = -1
        self._end, self._furthest = 0, taken.end

    def put(self, records: Records) -> None:
        if not records:
            return
        before = self._before
        left = records if self._end >= before.end else [one for one in records if not before.has(one)]
        new = [(_stamp(one), one.offset, one) for one in left]
        self._newest, self._end = _stamp(records[-1]) or self._newest, records[-1].offset + 1
        self.records += new
        self.records.sort(key=itemgetter(0))  # stable, so by offset too, and fast: it finds the runs
        self.size += sum(len(record.value or b"") for *_, record in new)

    def take(self, count: int) -> None:
        taken = self.records[:count]
        del self.records[:count]
        self.size -= sum(len(record.value or b"") for *_, record in taken)
        self._furthest = max(self._furthest, *(offset for _, offset, _ in taken))
        self._taken = TakenBeyond(self._end, *max(self._taken[1:], taken[-1][:2]))

    def up_to(self, stamp: int) -> int:
        """How many are before this timestamp."""
        return bisect_left(self.records, (stamp,))

    def late(self) -> int:
        """How many wait for nothing: others after them are taken, or they have no timestamp."""
        return self.up_to(max(self._taken.stamp, 1))

    def horizon(self, reached: Reached, wait_ms: int, share: int) -> int:
        """Before this timestamp the partition brings nothing more."""
        if reached.position < self._before.end:
            return -1  # what is taken is told by the records that were read then
        newest = max(self._newest, reached.seen_ms) if reached.at_end else self._newest
        middle = self.records[len(self.records) // 2][0] if self.size > share else -1
        return max(newest - wait_ms, middle)

    def is_full(self, share: int) -> bool:
        return self.size > share and self._end >= self._before.end

    def committed(self) -> OffsetAndMetadata:
        """The offset of the first one, and what is taken beyond it."""
        first = min((offset for _, offset, _ in self.records), default=self._end)
        return OffsetAndMetadata(first, self._taken.note() if self._furthest > first else "")


class Merged:
    """By timestamps, over all partitions; of one timestamp in the order of the partitions' names."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_ms = int(wait_seconds * 1000)
        self.begin({})

    def begin(self, taken: Mapping[TopicPartition, TakenBeyond]) -> None:
        """Forget what went in."""
        self._queues = defaultdict[TopicPartition, _Queue](lambda: _Queue(TakenBeyond()))
        self._queues |= {source: _Queue(its) for source, its in taken.items()}
        self._last: Mapping[TopicPartition, int] = {}

    def put(self, fetched: Fetched) -> None:
        """Take what was fetched."""
        for source, records in fetched.items():
            self._queues[source].put(records)

    def take(self, reached: Mapping[TopicPartition, Reached], most: int) -> Sequence[Sourced]:
        """Those that wait for nothing, all of them; else those before which no other can come any more."""
        sources = sorted(reached)
        if late := self._ready((source, self._queues[source].late()) for source in sources):
            return self._taken(late)
        return self._taken(self._ready(self._before_horizon(sources, reached, most))[:most])

    def _before_horizon(
        self, sources: Sequence[TopicPartition], reached: Mapping[TopicPartition, Reached], most: int
    ) -> Iterable[tuple[TopicPartition, int]]:
        queues = [self._queues[source] for source in sources]
        horizons = [
            queue.horizon(reached[source], self._wait_ms, self._share())
            for source, queue in zip(sources, queues, strict=True)
        ]
        horizon, holder = min(zip(horizons, range(len(sources)), strict=True), default=(-1, -1))
        for place, (source, queue) in enumerate(zip(sources, queues, strict=True)):
            # Of the horizon's own stamp there may be more in the partitions after the one that holds it up.
            yield source, min(most, queue.up_to(horizon + (place <= holder)))

    def _ready(self, counts: Iterable[tuple[TopicPartition, int]]) -> list[tuple[int, Sourced]]:
        """So many of each partition, by their timestamps."""
        ready = [
            (stamp, (source, record))
            for source, count in counts
            for stamp, _, record in self._queues[source].records[:count]
        ]
        ready.sort(key=itemgetter(0))
        return ready

    def _taken(self, ready: list[tuple[int, Sourced]]) -> Sequence[Sourced]:
        sourced = [one for _, one in ready]
        self._last = Counter(source for source, _ in sourced)
        for source, count in self._last.items():
            self._queues[source].take(count)
        return sourced

    def offsets(self) -> Offsets:
        """Those of the first records that are not taken, each with a note where others beyond are."""
        return {source: self._queues[source].committed() for source in self._last}

    def full(self) -> set[TopicPartition]:
        """Those that hold their share of the memory."""
        return {source for source, queue in self._queues.items() if queue.is_full(self._share())}

    def _share(self) -> int:
        return _HELD_BYTES // max(1, len(self._queues))

    def held(self, source: TopicPartition) -> int:
        """How many of the partition are not taken."""
        return len(self._queues[source].records)


class SpreadUsers:
    """Looks whether users' messages are on several partitions, which is said once."""

    def __init__(self) -> None:
        self._seen: dict[bytes, TopicPartition] = {}
        self._said = False

    def look(self, placed: Iterable[tuple[bytes, TopicPartition]]) -> None:
        """Look at some users, and where a message of each is from."""
        for user, source in placed:
            if len(self._seen) < _REMEMBERED:
                self._seen.setdefault(user, source)
            if not self._said and self._seen.get(user, source) != source:
                self._said = True
                log.warning(
                    "messages of one user are on %s %d and %s %d: their order is not known to this. With "
                    "--order timestamps all partitions are merged by their records' timestamps",
                    *self._seen[user], *source,
                )  # fmt: skip
