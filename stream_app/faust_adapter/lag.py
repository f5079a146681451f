"""How far behind each partition is, by what can be read of it, and what cannot be read yet."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

log = logging.getLogger(__name__)


class PartitionLag(NamedTuple):
    """One partition of the source, in offsets."""

    partition: int
    readable: int
    """Up to where anybody may read: not past the beginning of a transaction that is open there."""
    behind: int
    """What can be read and is not finished here."""
    held_back: int
    """What cannot be read yet."""


class Lags:
    """The lags of a consumer's partitions, by their last fetch."""

    def __init__(self) -> None:
        self.finished: dict[TopicPartition, int] = {}
        """The offset before which each of our partitions is finished."""
        self._open: dict[int, tuple[int, str]] = {}

    def of(self, consumer: AIOKafkaConsumer) -> Iterator[PartitionLag]:
        """Those of partitions that were fetched from."""
        for one in sorted(consumer.assignment() & self.finished.keys()):
            if (readable := consumer.last_stable_offset(one)) is not None:
                behind = max(0, readable - self.finished[one])
                held_back = max(0, consumer.highwater(one) - readable)
                yield PartitionLag(one.partition, readable, behind, held_back)

    def look(self, consumer: AIOKafkaConsumer) -> None:
        """Log, once each, the transactions that have been open since the last look."""
        before, self._open = self._open, {}
        for lag in self.of(consumer):
            if not lag.held_back:
                continue
            place, since = before.get(lag.partition, (-1, ""))
            if place != lag.readable:
                since = f"{datetime.now(UTC):%H:%M:%S} UTC"
            elif since:
                log.warning(_HELD_BACK, lag.partition, lag.held_back, since)
                since = ""
            self._open[lag.partition] = lag.readable, since


_HELD_BACK = (
    "partition %d: %d messages are held back by a transaction open since %s: until its producer commits or "
    "aborts it, Kafka lets nobody read past it"
)
