"""The order in which foreign records become transactions: as they are fetched, or by their timestamps.

A partition's records keep their order in any case. Where a user's messages are on several partitions, their
order is that of the records' timestamps: `Merged` takes the record with the smallest one of all partitions
once no other partition can bring a smaller one. A partition that has more to be read is waited for. One that
has not may still get records whose producers are slow: what is stamped until `wait` before its end was last
seen is taken. A timestamp that falls along its partition counts as the one before it.
"""

import logging
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from infra.runtime.kafka import Records

log = logging.getLogger(__name__)

Sourced: TypeAlias = tuple[TopicPartition, Any]
"""A fetched record, and where it is from."""
Fetched: TypeAlias = Mapping[TopicPartition, Records]

_HELD_BYTES = 128 << 20  # of all partitions together, as values
_REMEMBERED = 20_000


class Reached(NamedTuple):
    """How far a partition is read: whether to its end, and when (milliseconds) that was seen last."""

    at_end: bool
    seen_ms: int


class Order(Protocol):
    """What is fetched goes in; what is to be converted next comes out."""

    def clear(self) -> None:
        """Forget what went in: other partitions are ours now."""

    def put(self, fetched: Fetched) -> None:
        """Take what was fetched."""

    def take(self, reached: Mapping[TopicPartition, Reached]) -> Sequence[Sourced]:
        """The next records; `reached` has every partition of ours."""

    def full(self) -> set[TopicPartition]:
        """The partitions of which nothing more is to be fetched for now."""


class Arrived:
    """As they are fetched."""

    def __init__(self) -> None:
        self._records: list[Sourced] = []

    def clear(self) -> None:
        """Forget what went in."""
        self._records = []

    def put(self, fetched: Fetched) -> None:
        """Take what was fetched."""
        self._records += [(source, record) for source, records in fetched.items() for record in records]

    def take(self, _reached: Mapping[TopicPartition, Reached]) -> Sequence[Sourced]:
        """All of it."""
        taken, self._records = self._records, []
        return taken

    def full(self) -> set[TopicPartition]:
        """None."""
        return set()


class _Queue:
    """A partition's records, with stamps that never fall."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.records: list[Any] = []
        self.size = 0
        self._last = -1

    def put(self, records: Records) -> None:
        last = self._last
        for record in records:
            last = max(last, record.timestamp)
            self.stamps.append(last)
        self._last = last
        self.records += records
        self.size += sum(len(record.value or b"") for record in records)

    def take(self, count: int) -> Iterable[tuple[int, Any]]:
        taken = list(zip(self.stamps[:count], self.records[:count], strict=True))
        del self.stamps[:count], self.records[:count]
        self.size -= sum(len(record.value or b"") for _, record in taken)
        return taken


class Merged:
    """By timestamps, over all partitions; of one timestamp in the order of the partitions' names."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_ms = int(wait_seconds * 1000)
        self._queues: defaultdict[TopicPartition, _Queue] = defaultdict(_Queue)

    def clear(self) -> None:
        """Forget what went in."""
        self._queues.clear()

    def put(self, fetched: Fetched) -> None:
        """Take what was fetched."""
        for source, records in fetched.items():
            self._queues[source].put(records)

    def take(self, reached: Mapping[TopicPartition, Reached]) -> Sequence[Sourced]:
        """The records before which no other can come any more."""
        if not (sources := sorted(reached)):
            return []
        horizon, holder = min(
            (self._horizon(source, reached[source]), place) for place, source in enumerate(sources)
        )
        taken: list[tuple[int, Sourced]] = []
        for place, source in enumerate(sources):
            queue = self._queues[source]
            # Of the horizon's own stamp there may be more in the partitions after the one that holds it up.
            count = (bisect_right if place <= holder else bisect_left)(queue.stamps, horizon)
            taken += [(stamp, (source, record)) for stamp, record in queue.take(count)]
        taken.sort(key=itemgetter(0))  # a stable sort, and fast: it finds the runs
        return [sourced for _, sourced in taken]

    def _horizon(self, source: TopicPartition, reached: Reached) -> int:
        """Before this stamp the partition brings nothing more."""
        stamps = self._queues[source].stamps
        last = stamps[-1] if stamps else -1
        return max(last, reached.seen_ms - self._wait_ms) if reached.at_end else last

    def full(self) -> set[TopicPartition]:
        """Those that hold their share of the memory."""
        share = _HELD_BYTES // max(1, len(self._queues))
        return {source for source, queue in self._queues.items() if queue.size > share}


class OneForAll(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """All partitions for one member of the group: a merge needs all of them. The others stand by."""

    name = "txnwatch-one-for-all"

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """All for the first by its id, which it keeps as long as it is in the group."""
        first = min(members)
        shared: dict[str, Any] = super().assign(cluster, {first: members[first]})
        nothing = ConsumerProtocolMemberAssignment(cls.version, [], b"")
        return {member: shared.get(member, nothing) for member in members}


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
