"""A partition on a real broker whose batch never ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream_app.batch import Record
from stream_app.faust_adapter.in_flight import InFlight
from stream_app.faust_adapter.lag import Lags
from stream_app.faust_adapter.pump import pump


@dataclass(slots=True)
class HangingPartition:
    """Its lag as the worker knows it, and when its batch was taken."""

    source: TopicPartition
    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer
    lags: Lags = field(default_factory=Lags)
    taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def pump(self) -> NoReturn:
        """Take a batch, and never be done with it."""
        room = InFlight(100_000, 1 << 30)
        its = self.consumer, self.source
        await pump(*its, batch_size=1000, in_flight=room, patience=30, process=self._process)

    async def send(self, count: int) -> None:
        """So many records more; return once Kafka has them."""
        topic, partition = self.source
        sending = [await self.producer.send(topic, b"{}", partition=partition) for _ in range(count)]
        await asyncio.gather(*sending)

    async def _process(self, _records: Sequence[Record], _position: int) -> NoReturn:
        self.taken.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError


@asynccontextmanager
async def hanging(kafka: str, source: TopicPartition) -> AsyncIterator[HangingPartition]:
    """One that nothing was finished of."""
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka) as producer,
        AIOKafkaConsumer(
            bootstrap_servers=kafka, auto_offset_reset="earliest", isolation_level="read_committed"
        ) as consumer,
    ):
        consumer.assign([source])
        partition = HangingPartition(source, producer, consumer)
        partition.lags.finished[source] = 0
        yield partition
