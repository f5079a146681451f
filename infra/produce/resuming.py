"""Sending that goes on where it was ended, also by a kill: no record twice, none left out.

The producer is idempotent and a partition's batches go out one after the other. So what is on a partition is
the beginning of what the file has for it. The file beside it says how much was acknowledged; what came after
that is read back from the topic and found in the file by its content, so that also what was sent but not yet
noted is known.
"""

from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.produce.errors import InputError
from infra.produce.position import PartitionPosition, PositionFile, SendingProgress, SentPosition
from infra.produce.rows import Item, ProducerRecord, Source
from infra.runtime.kafka import admin_client, consumer_options, describe_cluster, read_until
from infra.runtime.partitioners import Partitioner
from infra.runtime.settings import Settings

_CHANGED = "what was sent is not what the file has: it has changed, or the options or the partitioner"


@asynccontextmanager
async def kept_position(
    file: Path, settings: Settings, say: Callable[[str], None], *, resume: bool
) -> AsyncIterator[SendingProgress | None]:
    """How far the sending of a file has come: nowhere, or with `resume` where it was ended.

    None where it cannot be known, as another process sends the file at this time.

    Raises:
        InputError: It is not known where it was ended, or another process sends the file.
        KafkaError: The topic cannot be read.
    """
    beside = PositionFile(file)
    if not beside.hold():
        if resume:
            raise InputError("another process sends this file now")
        yield None
        return
    try:
        present = await _present(settings)
        kept = SendingProgress(beside, _checked(beside, present) if resume else present)
        if not resume and (before := beside.known()):
            say(f"begun anew, though {before:,} records were sent by a run that was ended: --resume goes on")
        if not kept.note():
            say(f"if this is ended, it cannot go on later: {beside.path} cannot be written")
        yield kept
    finally:
        beside.release()


async def unsent(
    source: Source, kept: SendingProgress, settings: Settings, partitioner: Partitioner
) -> Source:
    """What is not on the topic of a file that was sent before.

    Raises:
        InputError: The file has changed, or records that followed are no longer on the topic.
        KafkaError: The topic cannot be read.
    """
    tails = await _tails(settings, kept.position)
    return UnsentRows(kept, partitioner, tails).rest(source)


def _checked(beside: PositionFile, present: SentPosition) -> SentPosition:
    """What was noted, if it is of this topic."""
    noted = beside.load()
    if noted is None:
        raise InputError(f"nothing is known of a run that was ended before all was sent: no {beside.path}")
    if (noted.topic, noted.topic_id) != (present.topic, present.topic_id):
        raise InputError(f"it was sent to another topic {noted.topic}, or that was created anew")
    if len(noted.partitions) != len(present.partitions):
        raise InputError(
            f"{noted.topic} had {len(noted.partitions)} partitions then: other users are on each"
        )
    return noted


async def _present(settings: Settings) -> SentPosition:
    """The topic as it is now, with nothing of the file."""
    topic = settings.transactions_topic
    async with (
        admin_client(settings, "produce") as admin,
        AIOKafkaConsumer(**_options(settings)) as consumer,
    ):
        cluster = await describe_cluster(admin, [topic])
        ends = await consumer.end_offsets([TopicPartition(topic, one) for one in cluster.topics[topic]])
    numbers = sorted((one.partition, end) for one, end in ends.items())
    return SentPosition(topic, cluster.ids.get(topic, ""), [PartitionPosition(end) for _, end in numbers])


def _options(settings: Settings) -> dict[str, object]:
    # What others have not committed may stand before what is ours.
    return {**consumer_options(settings, "produce"), "isolation_level": "read_uncommitted"}


async def _tails(settings: Settings, position: SentPosition) -> list["array[int]"]:
    """The hashes of the records of each partition that followed what was noted."""
    wanted = {
        TopicPartition(position.topic, number): one.next_offset
        for number, one in enumerate(position.partitions)
    }
    tails = [array("q") for _ in wanted]
    async with AIOKafkaConsumer(**_options(settings)) as consumer:
        begins = await consumer.beginning_offsets([*wanted])
        ends = await consumer.end_offsets([*wanted])
        if any(begins[one] > offset for one, offset in wanted.items()):
            raise InputError("what was sent last is no longer on the topic: how far it came is not known")
        consumer.assign([*wanted])
        consumer.pause(*wanted)
        for one, offset in wanted.items():
            consumer.seek(one, offset)
            consumer.resume(one)
            async for records in read_until(consumer, one, ends[one]):
                tails[one.partition].extend(hash(record.value) for record in records)
            consumer.pause(one)
    return tails


@dataclass
class UnsentRows:
    """Leaves out of a file's records those that are on the topic."""

    kept: SendingProgress
    partitioner: Partitioner
    tails: list["array[int]"]
    _seen: list[PartitionPosition] = field(init=False)
    _read: list[int] = field(init=False)
    """How much of each tail is looked through."""

    def __post_init__(self) -> None:
        self._seen = [PartitionPosition(0) for _ in self.tails]
        self._read = [0 for _ in self.tails]

    def rest(self, source: Source) -> Source:
        """Nothing of it is given before all that was noted is found again."""
        known, unknown = self.kept.position.count, list[Item]()
        while known > 0:
            if (item := next(source, None)) is None:
                raise InputError(f"{_CHANGED}: it has {known:,} records fewer")
            if isinstance(item, ProducerRecord) and self._was_noted(item):
                known -= 1
            else:
                unknown.append(item)
        yield from filter(self._is_new, unknown)
        yield from filter(self._is_new, source)

    def _was_noted(self, record: ProducerRecord) -> bool:
        partition = self.partitioner.of(record.key)
        noted, seen = self.kept.position.partitions[partition], self._seen[partition]
        if seen.count >= noted.count:
            return False
        seen.add(record.value)
        if seen.count == noted.count and seen.checksum != noted.checksum:
            raise InputError(_CHANGED)
        self.kept.skipped += 1
        return True

    def _is_new(self, item: Item) -> bool:
        if not isinstance(item, ProducerRecord):
            return True
        partition = self.partitioner.of(item.key)
        tail, read = self.tails[partition], self._read[partition]
        try:
            # Others' records may stand between.
            self._read[partition] = tail.index(hash(item.value), read) + 1
        except ValueError:
            self._read[partition] = len(tail)  # nothing that follows in the file is there, either
            return True
        self.kept.sent[partition].add(item.value)
        self.kept.skipped += 1
        return False
