"""The past of a topic, for a client that comes back: committed records between two positions.

A small pool of consumers serves all clients. Slices are bounded in bytes and in time, so that a client with
much to catch up on does not keep the others waiting, and no consumer is held while a client is written to.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import OffsetOutOfRangeError

from api.live.broker import Broker, Topic
from api.live.event_id import EventId, text_of
from api.live.frames import event
from infra.runtime.kafka import AWAY

log = logging.getLogger(__name__)

_SLICE_FRAMES = 500
_SLICE_BYTES = 1 << 20
"""A client is sent the frames of a slice at its own pace, so each client may hold so many, and one frame."""
_POLL_RECORDS = 100
_SLICE_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_POLL_MILLISECONDS = 20
_FETCH_MILLISECONDS = 50


class Expired(Exception):  # noqa: N818 - a state of the topic, not an error
    """Records between the two positions are no longer in Kafka."""


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


class Replay:
    """Reads topics' pasts, at most `readers` at a time."""

    def __init__(self, broker: Broker, *, readers: int) -> None:
        self._broker = broker
        self._free = asyncio.Semaphore(readers)
        self._idle: defaultdict[Topic, list[AIOKafkaConsumer]] = defaultdict(list)

    async def aclose(self) -> None:
        """Close the idle consumers; those in use are closed by their users."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().stop()

    async def read(self, topic: Topic, start: EventId, until: EventId, key: bytes | None) -> Slice:
        """One slice from `start` towards `until`, of the records with this key (None: all).

        Without Kafka the slice is empty, after a pause; the caller tries again.

        Raises:
            Expired: Kafka no longer has some of the records.
        """
        part = Slice([], dict(start.offsets))
        try:
            async with self._reader(topic) as consumer:
                await _read(consumer, topic, part, until, key)
        except OffsetOutOfRangeError as error:
            raise Expired from error
        except AWAY as error:
            log.warning("replay of %s not read: %s", topic.name, type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)
        return part

    @asynccontextmanager
    async def _reader(self, topic: Topic) -> AsyncIterator[AIOKafkaConsumer]:
        async with self._free:
            idle = self._idle[topic]
            consumer = idle.pop() if idle else await self._broker.paused_reader(topic, _FETCH_MILLISECONDS)
            try:
                yield consumer
                consumer.pause(*topic.partitions)
            except BaseException:
                await consumer.stop()
                raise
            idle.append(consumer)


async def _read(
    consumer: AIOKafkaConsumer, topic: Topic, part: Slice, until: EventId, key: bytes | None
) -> None:
    ends = {partition: until.offsets.get(partition.partition, 0) for partition in topic.partitions}
    ahead = {partition for partition, end in ends.items() if part.offsets.get(partition.partition, 0) < end}
    for partition in ahead:
        consumer.seek(partition, part.offsets.get(partition.partition, 0))
        consumer.resume(partition)
    finish = time.monotonic() + _SLICE_SECONDS
    while ahead and not part.full and time.monotonic() < finish:
        await asyncio.sleep(0)  # records fetched ahead come without a wait, and live clients would have to
        batches = await consumer.getmany(timeout_ms=_POLL_MILLISECONDS, max_records=_POLL_RECORDS)
        for partition, records in batches.items():
            _take(part, until.incarnation, [one for one in records if one.offset < ends[partition]], key)
        if part.full:
            return  # what is left of the batches is read again
        for partition in tuple(ahead):
            # Past commit markers, which take up offsets and are never delivered.
            position = await consumer.position(partition)
            part.offsets[partition.partition] = min(position, ends[partition])
            if position >= ends[partition]:
                consumer.pause(partition)
                ahead.discard(partition)


def _take(part: Slice, incarnation: str, records: Sequence[ConsumerRecord], key: bytes | None) -> None:
    for record in records:
        if part.full:
            return
        part.offsets[record.partition] = record.offset + 1
        if record.value is not None and (key is None or record.key == key):
            frame = event(record.value, text_of(incarnation, part.offsets))
            part.frames.append(frame)
            part.size += len(frame)
