"""A topic read from its beginning to where it ends now, committed records alone."""

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

Records: TypeAlias = "list[ConsumerRecord[bytes, bytes]]"


async def read_committed(
    servers: Sequence[str], topic: str, partitions: Collection[int] | None = None
) -> AsyncGenerator[Records, None]:
    """The records by fetch, one partition (of those given, or of all) after the other, each in its order.

    Nothing is committed and no group is joined, so that it disturbs nobody who reads or writes the topic. A
    transaction that is open there now is waited for.

    Raises:
        KafkaError: The broker cannot be reached, there is no such topic, or records were deleted meanwhile.
    """
    async with (
        AIOKafkaConsumer(bootstrap_servers=list(servers)) as anything,
        AIOKafkaConsumer(
            bootstrap_servers=list(servers),
            auto_offset_reset="none",
            isolation_level="read_committed",
            enable_auto_commit=False,
        ) as consumer,
    ):
        # aiokafka's own partitions_for_topic knows only of topics that it reads already.
        numbers = await anything._client._wait_on_metadata(topic)  # noqa: SLF001
        for number in sorted(numbers if partitions is None else partitions):
            partition = TopicPartition(topic, number)
            beginning = (await anything.beginning_offsets([partition]))[partition]
            # The end of all records: that of the committed ones is before the oldest open transaction.
            end = (await anything.end_offsets([partition]))[partition]
            consumer.assign([partition])
            consumer.seek(partition, beginning)
            # The position, as what an end offset points at may be a marker that nobody is given.
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=200)).values():
                    yield records
