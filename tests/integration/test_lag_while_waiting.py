"""A partition's lag on a real broker, also while its batch waits for a service."""

import asyncio

from aiokafka import TopicPartition

from infra.runtime.settings import Settings
from tests.support.hanging import hanging


async def test_lag_grows_while_a_batch_waits_for_a_service(topics: Settings) -> None:
    async with hanging(topics.kafka, TopicPartition(topics.transactions_topic, 0)) as partition:
        pumping = asyncio.create_task(partition.pump())
        sent = 0
        for count in (3, 500, 2000):
            await partition.send(count)
            sent += count
            async with asyncio.timeout(30):
                await partition.taken.wait()
                await partition.lags.look(partition.consumer)
            [lag] = partition.lags.of(partition.consumer)
            assert (lag.readable, lag.behind, lag.held_back) == (sent, sent, 0)
        pumping.cancel()
        await asyncio.wait([pumping])
        assert pumping.cancelled()
