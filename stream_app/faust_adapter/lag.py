"""How far behind each partition is, by what can be read of it, and what cannot be read yet."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10


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
    """The lags of a consumer's partitions, by their last fetch or the last look, whichever is later."""

    def __init__(self) -> None:
        self.finished: dict[TopicPartition, int] = {}
        """The offset before which each of our partitions is finished."""
        self._readable: dict[TopicPartition, int] = {}
        self._open: dict[int, tuple[int, str]] = {}

    def of(self, consumer: AIOKafkaConsumer) -> Iterator[PartitionLag]:
        """Those of partitions that were fetched from or looked at."""
        for one in sorted(consumer.assignment() & self.finished.keys()):
            known = [consumer.last_stable_offset(one), self._readable.get(one)]
            if (readable := max((at for at in known if at is not None), default=None)) is not None:
                behind = max(0, readable - self.finished[one])
                held_back = max(0, (consumer.highwater(one) or 0) - readable)
                yield PartitionLag(one.partition, readable, behind, held_back)

    async def look(self, consumer: AIOKafkaConsumer) -> None:
        """Ask how far each partition can be read, and log, once each, the transactions open since before.

        A partition is not fetched while its batch waits for a service: its last fetch says nothing of how far
        it falls behind.
        """
        with suppress(KafkaError, TimeoutError):  # which brokers answer is watched elsewhere
            async with asyncio.timeout(_LOOK_SECONDS):
                ours = consumer.assignment() & self.finished.keys()
                self._readable = await consumer.end_offsets(ours)  # of a reader of what is committed
        self._log(consumer)

    def _log(self, consumer: AIOKafkaConsumer) -> None:
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
