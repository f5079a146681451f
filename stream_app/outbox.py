"""Step 5: everything that a batch puts into Kafka, in one transaction of the partition's own producer.

The `transactional.id` is the app's id and the partition: starting a producer under it fences the former
owner's and aborts what that one left open, and a transaction of the fenced one fails whole.
"""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from stream_app.pipeline import LostPartitionError, Output, Refusal
from stream_app.scoring import Verdict
from stream_app.settings import Settings

# Room for the largest message that a broker takes by default, refused ones included.
LARGEST_RECORD = 1 << 20
FENCED = (
    ProducerFenced,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    OutOfOrderSequenceNumber,
)


class Message(NamedTuple):
    """A record to be written."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class KafkaOutbox:
    """One partition's producer, from entering (which fences the former owner) to leaving the context."""

    def __init__(self, partition: int, settings: Settings) -> None:
        self._partition = partition
        self._settings = settings
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka,
            client_id=f"{settings.app_id}-outbox-{partition}",
            transactional_id=f"{settings.app_id}-{partition}",
            compression_type="lz4",
            max_batch_size=LARGEST_RECORD,
            max_request_size=2 * LARGEST_RECORD,
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._producer.stop()
        except KafkaError:
            # A fenced producer raises its fencing again on the way out; it holds nothing by then.
            await self._producer.client.close()

    async def commit(self, output: Output) -> int | None:
        """Write the output and the source offset, all or nothing; the last change's changelog offset."""
        try:
            async with self._producer.transaction():
                return await self._fill(output)
        except FENCED as error:
            raise LostPartitionError(
                f"partition {self._partition}: this producer was fenced: {error!r}"
            ) from error

    async def _fill(self, output: Output) -> int | None:
        settings = self._settings
        if settings.scored_topic:
            await self._send(settings.scored_topic, map(self._scored, output.verdicts))
        flagged = (verdict for verdict in output.verdicts if verdict.flag is not None)
        await self._send(settings.anomalies_topic, map(self._scored, flagged))
        await self._send(settings.dlq_topic, map(self._refused, output.refusals))
        changes = (Message(key, value, []) for key, value in output.changes)
        last = await self._send(settings.changelog_topic, changes)
        source = TopicPartition(settings.transactions_topic, self._partition)
        await self._producer.send_offsets_to_transaction({source: output.next_offset}, settings.app_id)
        return last

    async def _send(self, topic: str, messages: Iterable[Message]) -> int | None:
        """Send all messages to the topic's partition of our number; the offset of the last, if any."""
        submitted = []
        for batch in self._batches(messages):
            sent = await self._producer.send_batch(batch, topic, partition=self._partition)
            submitted.append((sent, batch.record_count()))
        last = None
        for sent, count in submitted:
            last = (await sent).offset + count - 1
        return last

    def _batches(self, messages: Iterable[Message]) -> Iterator[BatchBuilder]:
        batch = self._producer.create_batch()
        for message in messages:
            if not _append(batch, message):
                yield batch
                batch = self._producer.create_batch()
                _append(batch, message)
        if batch.record_count():
            batch.close()
            yield batch

    def _scored(self, verdict: Verdict) -> Message:
        value, _ = verdict.encoded()
        return Message(verdict.transaction.user_id.encode(), value, self._origin(verdict.offset))

    def _refused(self, refusal: Refusal) -> Message:
        headers = [
            ("reason", refusal.reason.encode()),
            ("detail", refusal.detail.encode(errors="replace")),
            ("source-topic", self._settings.transactions_topic.encode()),
            *self._origin(refusal.record.offset),
        ]
        return Message(refusal.record.key, refusal.record.value or b"", headers)

    def _origin(self, offset: int) -> list[tuple[str, bytes]]:
        return [("source-partition", b"%d" % self._partition), ("source-offset", b"%d" % offset)]


def _append(batch: BatchBuilder, message: Message) -> bool:
    """Whether the message still fitted; a batch that is full closes itself."""
    added = batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
    return added is not None
