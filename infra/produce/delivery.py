"""Delivery of records to a topic in batches of our own: several times the rate of aiokafka's `send`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from infra.produce.position import SendingProgress
from infra.produce.rows import ProducerRecord
from infra.runtime.kafka import client_options, start
from infra.runtime.partitioners import Partitioner, PartitionerSettings, producers_partitioner

_BATCH_BYTES = 128 * 1024
_ABANDON_SECONDS = 3.0


class DeliveryError(Exception):
    """The broker cannot be reached, or did not take a record; the message says why."""


class InputSettings(PartitionerSettings, Protocol):
    """What is needed of a program's settings to send transactions."""

    @property
    def transactions_topic(self) -> str:
        """Where transactions arrive."""


@dataclass
class TopicSender:
    """Sends records, those of a key in the order in which they are given, also when batches are sent again.

    A partition's batches go out one after the other, and an idempotent producer numbers them: the broker
    takes each once, and none before its predecessor.
    """

    producer: AIOKafkaProducer
    topic: str
    partitioner: Partitioner
    stall_seconds: float
    delivered: int = field(default=0, init=False)
    """Records that all in-sync replicas have acknowledged."""
    kept: SendingProgress | None = None
    """What is told how far each partition has come, of a file that can be read again."""
    _open: dict[int, tuple[Any, list[bytes]]] = field(default_factory=dict, init=False)
    _unanswered: set[asyncio.Future[Any]] = field(default_factory=set, init=False)
    _failure: DeliveryError | None = field(default=None, init=False)

    async def send(self, record: ProducerRecord) -> None:
        """Put a record into its partition's batch, and submit that when it is full.

        Raises:
            DeliveryError: This record or an earlier one was not delivered.
        """
        key = record.key
        partition = self.partitioner.of(key)
        opened = self._open.get(partition)
        if opened is not None:
            batch, values = opened
            if batch.append(timestamp=None, key=key, value=record.value) is not None:
                values.append(record.value)
                return
            await self._submit(partition)
        batch = self.producer.create_batch()
        batch.append(timestamp=None, key=key, value=record.value)
        self._open[partition] = batch, [record.value]

    async def submit(self) -> None:
        """Submit the batches that are not full.

        Raises:
            DeliveryError: This or an earlier batch was not delivered.
        """
        for partition in list(self._open):
            await self._submit(partition)

    async def finish(self) -> None:
        """Submit what is left, and wait until everything is acknowledged.

        Raises:
            DeliveryError: Something was not delivered.
        """
        await self.submit()
        while self._unanswered:
            answered, _ = await asyncio.wait(
                self._unanswered, timeout=self.stall_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not answered:
                self._fail(TimeoutError())
            self._raise_failure()

    async def _submit(self, partition: int) -> None:
        self._raise_failure()
        batch, values = self._open[partition]
        count, reached = len(values), self._counted(partition, values)
        try:
            # Without a limit the producer retries for ever.
            async with asyncio.timeout(self.stall_seconds):
                answer = await self.producer.send_batch(batch, self.topic, partition=partition)
        except (TimeoutError, KafkaError) as error:
            self._fail(error)
        self._raise_failure()
        del self._open[partition]
        self._unanswered.add(answer)
        answer.add_done_callback(lambda future: self._answered(future, partition, count, reached))

    def _counted(self, partition: int, values: list[bytes]) -> tuple[int, int]:
        """How many records the partition has been sent, and their checksum, where that is kept."""
        if self.kept is None:
            return 0, 0
        sent = self.kept.sent[partition]
        sent.add(*values)
        return sent.count, sent.checksum

    def _answered(
        self, future: "asyncio.Future[Any]", partition: int, count: int, reached: tuple[int, int]
    ) -> None:
        self._unanswered.discard(future)
        if future.cancelled():
            return
        if error := future.exception():
            self._fail(error)
        else:
            self.delivered += count
            if self.kept is not None and (offset := future.result().offset) >= 0:
                self.kept.acknowledged(partition, offset + count, *reached)

    def _fail(self, error: BaseException) -> None:
        stalled = f"nothing was acknowledged for {self.stall_seconds:g} s"
        why = stalled if isinstance(error, TimeoutError) else _text(error)
        self._failure = self._failure or DeliveryError(why)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


@asynccontextmanager
async def open_sender(settings: InputSettings, stall_seconds: float = 30.0) -> AsyncIterator[TopicSender]:
    """A connected sender for the input topic; what is not finished inside is given up.

    Raises:
        DeliveryError: There is no broker.
        TopicsError: There is no such topic, or its keys do not tell the partitioner.
    """
    producer = new_producer(settings, "produce", stall_seconds)
    try:
        partitioner = await connected(producer, settings, stall_seconds)
        yield TopicSender(producer, settings.transactions_topic, partitioner, stall_seconds)
    finally:
        await end_producer(producer)


def new_producer(
    settings: InputSettings, name: str, stall_seconds: float, **options: int
) -> AIOKafkaProducer:
    """An idempotent producer, not started; `name` is its own in the brokers' logs."""
    return AIOKafkaProducer(
        **client_options(settings, name),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=int(stall_seconds * 1000),
        **options,
    )


async def connected(producer: AIOKafkaProducer, settings: InputSettings, seconds: float) -> Partitioner:
    """Start the producer; what chooses among the input topic's partitions.

    Raises:
        DeliveryError: There is no broker.
        TopicsError: There is no such topic, or its keys do not tell the partitioner.
    """
    try:
        async with asyncio.timeout(seconds):
            await start(producer, settings)
        return await producers_partitioner(settings, producer, settings.transactions_topic)
    except (KafkaConnectionError, OSError, TimeoutError) as error:
        raise DeliveryError(_text(error)) from error
    except (KafkaError, ValueError) as error:  # ValueError: not an address
        raise DeliveryError(_text(error)) from error


async def end_producer(producer: AIOKafkaProducer) -> None:
    """Stop it for a bounded time: after a failure it would wait for ever for what is still unsent."""
    with suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(_ABANDON_SECONDS):
            await producer.stop()
    await producer.client.close()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
