"""When a scored transaction was produced: the timestamp of the source record that its headers name."""

import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from api.live.broker import Broker
from schemas.scored import source_of

_WAIT_MILLISECONDS = 50
_SECONDS = 1.0


class SourceRecords:
    """Looks single records of the source up, by a consumer that reads nothing else."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    @classmethod
    async def of(cls, broker: Broker, topic: str) -> "SourceRecords":
        """Lookups in this topic, to be closed.

        Raises:
            Unavailable: Kafka does not answer.
            KafkaError: The consumer cannot be started.
        """
        partitions = (await broker.topic(topic)).partitions
        consumer = await broker.reader(dict.fromkeys(partitions, 0), wait_milliseconds=_WAIT_MILLISECONDS)
        consumer.pause(*partitions)
        return cls(consumer, topic)

    async def close(self) -> None:
        """End the consumer."""
        await self._consumer.stop()

    async def produced_at(self, scored: ConsumerRecord) -> int | None:
        """Milliseconds since 1970; None where the record is not found, or not soon enough."""
        number, offset = source_of(scored.headers) or (-1, -1)
        partition = TopicPartition(self._topic, number)
        if partition not in self._consumer.assignment():
            return None
        self._consumer.seek(partition, offset)
        self._consumer.resume(partition)
        try:
            async with asyncio.timeout(_SECONDS):
                record = await self._consumer.getone(partition)
        except (KafkaError, TimeoutError):
            return None
        finally:
            self._consumer.pause(partition)
        return record.timestamp if record.offset == offset else None
