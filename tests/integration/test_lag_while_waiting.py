"""A partition's lag on a real broker, also while its batch waits for a service."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from infra.runtime.settings import Settings
from stream_app.batch import Record
from stream_app.faust_adapter.in_flight import InFlight
from stream_app.faust_adapter.lag import Lags
from stream_app.faust_adapter.pump import pump


async def test_lag_grows_while_a_batch_waits_for_a_service(topics: Settings) -> None:
    source = TopicPartition(topics.transactions_topic, 0)
    waiting = asyncio.Event()

    async def process(_records: Sequence[Record], _position: int) -> NoReturn:
        waiting.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with (
        AIOKafkaProducer(bootstrap_servers=topics.kafka) as producer,
        AIOKafkaConsumer(
            bootstrap_servers=topics.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
        ) as consumer,
    ):
        consumer.assign([source])
        lags = Lags()
        lags.finished[source] = 0
        room = InFlight(100_000, 1 << 30)
        pumping = asyncio.create_task(
            pump(consumer, source, batch_size=1000, in_flight=room, patience=30, process=process)
        )
        sent = 0
        for count in (3, 500, 2000):
            await asyncio.gather(
                *[await producer.send(source.topic, b"{}", partition=source.partition) for _ in range(count)]
            )
            sent += count
            async with asyncio.timeout(30):
                await waiting.wait()
                await lags.look(consumer)
            [lag] = lags.of(consumer)
            assert (lag.readable, lag.behind, lag.held_back) == (sent, sent, 0)
        pumping.cancel()
        await asyncio.wait([pumping])
        assert pumping.cancelled()
