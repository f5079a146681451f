"""A topic read from its beginning to where it ends now, committed records alone."""

from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

Records: TypeAlias = "list[ConsumerRecord[bytes, bytes]]"


async def read_committed(servers: Sequence[str], topic: str) -> AsyncGenerator[Records, None]:
    """The records by fetch, one partition after the other, each in its order.

    Nothing is committed and no group is joined, so that it disturbs nobody who reads or writes the topic.

    Raises:
        KafkaError: The broker cannot be reached, or there is no such topic.
    """
    async with AIOKafkaConsumer(
        bootstrap_servers=list(servers),
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    ) as consumer:
        # aiokafka's own partitions_for_topic knows only of topics that it reads already.
        numbers = await consumer._client._wait_on_metadata(topic)  # noqa: SLF001
        for number in sorted(numbers):
            partition = TopicPartition(topic, number)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            # The position, as what an end offset points at may be a marker that nobody is given.
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=200)).values():
                    yield records
