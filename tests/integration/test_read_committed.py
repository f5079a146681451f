"""A topic read to where it ends: every reading ends, whatever the end is made of."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from infra.runtime import kafka
from infra.runtime.kafka import admin_client, read_committed
from infra.runtime.patience import KafkaSilentError
from infra.runtime.settings import Settings


@pytest.fixture
async def producer(topics: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A transactional producer; what it leaves open is aborted at the end."""
    async with AIOKafkaProducer(bootstrap_servers=topics.kafka, transactional_id=topics.app_id) as one:
        yield one


async def everything(settings: Settings) -> list[bytes | None]:
    return [record.value async for fetch in read_committed(settings, settings.dlq_topic) for record in fetch]


async def test_a_topic_is_read_to_its_end_whatever_its_last_partition_ends_with(
    topics: Settings, producer: AIOKafkaProducer
) -> None:
    """Nothing at all, what is deleted by now, what was aborted."""
    async with producer.transaction():
        await producer.send(topics.dlq_topic, b"first", partition=1)
    assert await everything(topics) == [b"first"]

    async with producer.transaction():
        await producer.send(topics.dlq_topic, b"deleted", partition=3)
    async with admin_client(topics, "test") as admin:
        await admin.delete_records({TopicPartition(topics.dlq_topic, 3): RecordsToDelete(before_offset=2)})
    assert await everything(topics) == [b"first"]

    await producer.begin_transaction()
    await producer.send_and_wait(topics.dlq_topic, b"aborted", partition=3)
    await producer.abort_transaction()
    assert await everything(topics) == [b"first"]


async def test_a_transaction_that_stays_open_ends_the_reading_and_is_named(
    topics: Settings, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "read_until", partial(kafka.read_until, patience=0.5))
    await producer.begin_transaction()
    await producer.send_and_wait(topics.dlq_topic, b"open", partition=2)

    with pytest.raises(KafkaSilentError, match=r"partition 2: nothing was read .* a transaction is open"):
        await everything(topics)
