"""What topics held, read once for all clients that come back.

After a restart all clients come back together, and each has missed the same stretch. It is read in blocks,
each of them kept for some seconds and sorted by key: 500 clients cost one pass through the topic, and each
of them a look-up a block.
"""

import asyncio
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from api.live.broker import Broker, Topic
from api.live.shelf import Shelf
from infra.runtime.kafka import AWAY
from infra.runtime.retry import Outage

_BLOCK_RECORDS = 2000
_BLOCK_BYTES = 1 << 20
_KEPT_BYTES = 64 << 20
"""A block of each partition of two topics: with fewer, clients that come back would read them for ever."""
_RECORD_BYTES = 300
"""What a record takes beside its value: an offset, a tuple, a place in two lists, a key."""
_KEPT_SECONDS = 60.0
"""Longer than clients take that come back together, on a machine with much else to do: with 10 s each read
again what had been let go of, and few arrived. A topic that was made again is another one."""
_READ_SECONDS = 3.0
_PAUSE_SECONDS = 1.0
_POLL_RECORDS = 500
_POLL_MILLISECONDS = 20
_FETCH_MILLISECONDS = 50

Entry = tuple[int, bytes]
"""A record's offset and value."""


class Expired(Exception):  # noqa: N818 - a state of the topic, not an error
    """Records that are asked for are no longer in Kafka."""


@dataclass(slots=True)
class Block:
    """The committed records of a partition from `first` up to and without `until`: all, and by key."""

    first: int
    until: int
    most_bytes: int = _BLOCK_BYTES
    all: list[Entry] = field(default_factory=list)
    by_key: defaultdict[bytes | None, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    size: int = 1000
    """What it takes in bytes, about; empty ones are counted too."""

    @property
    def full(self) -> bool:
        """Whether it holds as much as a block may."""
        return len(self.all) >= _BLOCK_RECORDS or self.size >= self.most_bytes

    def add(self, record: ConsumerRecord) -> None:
        """Take a record in, unless it is a tombstone."""
        if record.value is not None:
            entry = (record.offset, record.value)
            self.all.append(entry)
            self.by_key[record.key].append(entry)
            self.size += len(record.value) + _RECORD_BYTES


class History:
    """Blocks of topics' pasts, by one read of Kafka at a time for each partition, and `readers` for all."""

    def __init__(self, broker: Broker, *, readers: int) -> None:
        self._broker = broker
        self._free = asyncio.Semaphore(readers)
        self._outage = Outage("history")
        self._idle: defaultdict[Topic, list[AIOKafkaConsumer]] = defaultdict(list)
        self._blocks: defaultdict[tuple[Topic, TopicPartition], list[Block]] = defaultdict(list)
        self._shelf = Shelf(seconds=_KEPT_SECONDS, size=_KEPT_BYTES)
        self._reading: dict[tuple[Topic, TopicPartition], tuple[int, asyncio.Task[bool]]] = {}

    async def aclose(self) -> None:
        """End what is being read, and close the consumers."""
        self._shelf.close()
        tasks = [task for _, task in self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for idle in self._idle.values():
            while idle:
                await idle.pop().stop()

    def kept(self, topic: Topic, partition: TopicPartition, offset: int) -> Block | None:
        """The block with this offset, where it need not be read."""
        return _covering(self._blocks[topic, partition], offset)

    def begin(
        self, topic: Topic, partition: TopicPartition, offset: int, end: int
    ) -> tuple[int, asyncio.Task[bool]]:
        """Read a block of the partition, unless one is being read: the first offset of it, and the task."""
        place = (topic, partition)
        # One that has ended stays until its callbacks are called: who waits for it would never wait, and the
        # loop would call nothing any more.
        if place not in self._reading or self._reading[place][1].done():
            task = asyncio.create_task(self._read(topic, partition, offset, end))
            self._reading[place] = (offset, task)
            task.add_done_callback(partial(self._ended, place))
        return self._reading[place]

    def _ended(self, place: tuple[Topic, TopicPartition], task: asyncio.Task[bool]) -> None:
        if self._reading[place][1] is task:
            del self._reading[place]
        if not task.cancelled():
            # What failed is asked for again by who needs it; a client that has left is not waiting for it.
            task.exception()

    async def block(self, topic: Topic, partition: TopicPartition, offset: int, end: int) -> Block | None:
        """A block with this offset; where it has to be read, up to `end` at most.

        None where nothing can be read just now.

        Raises:
            Expired: Kafka no longer has the record at the offset.
        """
        place = (topic, partition)
        while (block := self.kept(*place, offset)) is None:
            start, task = self.begin(topic, partition, offset, end)
            try:
                if not await asyncio.shield(task):
                    return None
            except Expired:
                if start == offset:
                    raise
        return block

    async def _read(self, topic: Topic, partition: TopicPartition, start: int, end: int) -> bool:
        """Read a block and keep it; False, after a pause, when Kafka gave nothing."""
        blocks = self._blocks[topic, partition]
        following = bisect_right(blocks, start, key=attrgetter("first"))
        end = min([end, *(block.first for block in blocks[following : following + 1])])
        try:
            async with self._reader(topic) as consumer:
                block = await _block(consumer, partition, Block(start, start, _block_bytes(topic)), end)
        except OffsetOutOfRangeError as error:
            raise Expired from error
        except AWAY as error:
            self._outage.failed(f"{topic.name}: {type(error).__name__}")
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        self._outage.over()
        if block.until > start:
            self._keep(blocks, block)
        return block.until > start

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

    def _keep(self, blocks: list[Block], block: Block) -> None:
        blocks.insert(bisect_right(blocks, block.first, key=attrgetter("first")), block)
        self._shelf.put(block.size, lambda: blocks.remove(block))


def _covering(blocks: list[Block], offset: int) -> Block | None:
    at = bisect_right(blocks, offset, key=attrgetter("first")) - 1
    return blocks[at] if at >= 0 and offset < blocks[at].until else None


def _block_bytes(topic: Topic) -> int:
    return min(_BLOCK_BYTES, _KEPT_BYTES // (2 * len(topic.partitions)))


async def _block(consumer: AIOKafkaConsumer, partition: TopicPartition, block: Block, end: int) -> Block:
    """Fill the block."""
    finish = time.monotonic() + _READ_SECONDS
    if await consumer.position(partition) != block.first:  # else what was fetched ahead is used
        consumer.seek(partition, block.first)
    consumer.resume(partition)
    while block.until < end and not block.full and time.monotonic() < finish:
        await asyncio.sleep(0)  # records fetched ahead come without a wait, and live clients would have to
        batches = await consumer.getmany(partition, timeout_ms=_POLL_MILLISECONDS, max_records=_POLL_RECORDS)
        for record in batches.get(partition, ()):
            if record.offset < end:
                block.add(record)
        # Past commit markers, which take up offsets and are never delivered.
        block.until = min(await consumer.position(partition), end)
    return block
