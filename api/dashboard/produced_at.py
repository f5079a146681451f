"""When a scored transaction was produced: the timestamp of the source record that its headers name."""

import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from api.live.broker import Broker
from schemas.scored import source_of

_WAIT_MILLISECONDS = 50
_SECONDS = 1.0


class Origins:
    """Looks single records of the source up, by a consumer that reads nothing else."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    @classmethod
    async def of(cls, broker: Broker, topic: str) -> "Origins":
        """Lookups in this topic; raises Unavailable and KafkaError. To be closed."""
        partitions = (await broker.topic(topic)).partitions
        consumer = broker.consumer(wait_milliseconds=_WAIT_MILLISECONDS)
        await broker.start(consumer.start, consumer.stop)
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        consumer.pause(*partitions)
        return cls(consumer)

    async def close(self) -> None:
        """Ends the consumer."""
        await self._consumer.stop()

    async def produced_at(self, topic: str, scored: ConsumerRecord) -> int | None:
        """Milliseconds since 1970; None where the record is not found, or not soon enough."""
        if (source := source_of(scored.headers)) is None:
            return None
        partition, offset = TopicPartition(topic, source[0]), source[1]
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
