"""What producers in other languages put on the input topic, and what the broker then makes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from tests.support.foreign import send_with_odd_headers
from tests.support.installation import Installation, ended, until
from tests.support.traffic import traffic


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


@asynccontextmanager
async def transactional(installation: Installation) -> AsyncIterator[AIOKafkaProducer]:
    name = f"{installation.transactions}-foreign"
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka, transactional_id=name) as producer:
        yield producer


async def empty(installation: Installation) -> None:
    """Delete all that the input topic has, as retention does."""
    async with (
        installation.administration() as admin,
        AIOKafkaConsumer(bootstrap_servers=installation.kafka) as consumer,
    ):
        partitions = [TopicPartition(installation.transactions, number) for number in range(4)]
        ends = await consumer.end_offsets(partitions)
        await admin.delete_records({one: RecordsToDelete(end) for one, end in ends.items()})


async def test_nothing_is_missed_of_transactional_producers_whose_headers_are_not_utf_8(
    installation: Installation,
) -> None:
    """Retention leaves the partition empty behind aborted records and a marker: the group is past them."""
    sent = traffic(40, users=1)
    async with transactional(installation) as producer:
        partition = TopicPartition(installation.transactions, 2)
        await producer.begin_transaction()
        await send_with_odd_headers(producer, partition, [(one.key, one.value) for one in sent[:20]])
        await producer.commit_transaction()
        await producer.begin_transaction()
        await send_with_odd_headers(producer, partition, [(one.key, one.value) for one in sent[:20]])
        await producer.abort_transaction()
    with installation.worker() as worker:
        await until(installation.finished)
        assert await ended(worker) == 0

    await empty(installation)
    with installation.worker() as worker:
        await installation.send_transactions(sent[20:])
        await until(installation.finished)
        assert await ended(worker) == 0

    assert len(await installation.rows()) == 40
