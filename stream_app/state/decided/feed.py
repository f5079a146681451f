"""The control topic, read by one consumer for all partitions of this worker."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.runtime.kafka import Records, consumer_options, read_until
from schemas.decision import key_of
from stream_app.settings import Settings
from stream_app.state.changelog import KafkaMismatchError
from stream_app.state.decided.log import Progress

# A decision that comes while the others' empty fetch is held waits for its end.
_FETCH_WAIT_MS = 100
_POLL_MS = 1000
_AT_A_TIME = 500
_STOP_SECONDS = 5


class ControlFeed:
    """Runs from `start`, with the partitions that are ours, to `stop`; each is read once it has begun."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._beginnings: Mapping[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}

    async def start(self, partitions: Collection[int]) -> None:
        """Connect, and look how long the log is."""
        await self.stop()
        if not partitions:
            return
        consumer = self._consumer = AIOKafkaConsumer(
            **consumer_options(self._settings, "control"), fetch_max_wait_ms=_FETCH_WAIT_MS
        )
        await consumer.start()
        ours = [self._place(number) for number in partitions]
        self._beginnings = await consumer.beginning_offsets(ours)
        self._ends = await consumer.end_offsets(ours)
        consumer.assign(ours)  # once: stopped right after another assignment, it may never end
        consumer.pause(*ours)
        for one in ours:
            consumer.seek(one, self._beginnings[one])

    async def stop(self) -> None:
        """Close the connections; nothing where there are none."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await asyncio.wait([asyncio.create_task(consumer.stop())], timeout=_STOP_SECONDS)

    async def begin(self, partition: int, reached: Progress) -> None:
        """Have the partition read what comes after what it has applied.

        Raises:
            KafkaMismatchError: What comes next is no longer there.
        """
        place, offset = self._place(partition), reached.next_offset
        if offset and offset > self._beginnings[place] and not await self._is_at(place, reached):
            offset = 0  # a log that was written anew: what the partition has is passed over
        if offset < (beginning := self._beginnings[place]):
            raise KafkaMismatchError(
                f"{place.topic} partition {partition} begins at offset {beginning}, and decisions from "
                f"{offset} on are needed: records were deleted from it, which has to keep all"
            )
        self._started.seek(place, offset)
        self._started.resume(place)

    async def _is_at(self, place: TopicPartition, reached: Progress) -> bool:
        """Whether the log has the partition's last decision where it was."""
        if reached.next_offset > self._ends[place]:
            return False
        consumer, last = self._started, reached.next_offset - 1
        consumer.seek(place, last)
        consumer.resume(place)
        async with aclosing(read_until(consumer, place, reached.next_offset, most=1)) as fetches:
            async for [record] in fetches:
                return bool(record.offset == last and record.key == key_of(reached.seq))
        return False

    async def present(self, partition: int) -> AsyncGenerator[Records, None]:
        """What the log had at the start."""
        place = self._place(partition)
        fetches = read_until(self._started, place, self._ends[place], most=_AT_A_TIME)
        async with aclosing(fetches):
            async for records in fetches:
                yield records

    async def coming(self, partition: int) -> AsyncGenerator[Records, None]:
        """What comes after it, without an end."""
        place = self._place(partition)
        while True:
            found = await self._started.getmany(place, timeout_ms=_POLL_MS, max_records=_AT_A_TIME)
            for records in found.values():
                yield records

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._consumer is not None  # noqa: S101 - partitions are opened after the start
        return self._consumer

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.control_topic, partition)
