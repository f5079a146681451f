"""Brings a partition's windows up to its changelog's end.

Stock Faust waits for the changelog's last offset, which in a changelog written in transactions is a commit
marker and never delivered, and it reads what was aborted. Here only committed records count, and the
end is where the consumer's position reaches the end offset.
"""

import logging

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.settings import Settings
from stream_app.windows import WindowStore

logger = logging.getLogger(__name__)

MOST_RECORDS = 10_000


class KafkaMismatchError(Exception):
    """What is kept here goes past what Kafka has: a topic was truncated or made anew."""


async def restore(store: WindowStore, partition: int, settings: Settings, stored_up_to: int = 0) -> int:
    """Apply the changelog's records that the open database lacks; how many there were.

    `stored_up_to` is the source offset that Postgres has rows up to: KafkaMismatchError when the source does
    not reach it, or the changelog does not reach what the database holds.
    """
    changelog = TopicPartition(settings.changelog_topic, partition)
    source = TopicPartition(settings.transactions_topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.servers,
        client_id=f"{settings.app_id}-restore-{partition}",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=4 << 20,
    )
    async with consumer:
        consumer.assign([changelog])
        ends = await consumer.end_offsets([changelog, source])
        beginning = (await consumer.beginning_offsets([changelog]))[changelog]
        if stored_up_to > ends[source]:
            raise KafkaMismatchError(
                f"partition {partition}: Postgres has rows up to offset {stored_up_to}, but "
                f"{source.topic} ends at {ends[source]}: it was truncated or made anew. If that was meant, "
                "delete the partition's row of sink_offsets."
            )
        consumer.seek(changelog, _start(store, partition, beginning, ends[changelog]))
        return await _apply(store, consumer, changelog, ends[changelog])


def _start(store: WindowStore, partition: int, beginning: int, end: int) -> int:
    local = store.changelog_offset(partition)
    if local is None:
        return beginning
    if local >= end:
        raise KafkaMismatchError(
            f"partition {partition}: the local windows stand at changelog offset {local}, but the changelog "
            f"ends at {end}: it was truncated or made anew. If that was meant, delete this worker's data "
            "folder."
        )
    if local + 1 < beginning:
        logger.warning(
            "partition %d: the changelog begins past the local windows: rebuilding them", partition
        )
        store.destroy(partition)
        return beginning
    return local + 1


async def _apply(store: WindowStore, consumer: AIOKafkaConsumer, changelog: TopicPartition, end: int) -> int:
    count = 0
    while await consumer.position(changelog) < end:
        fetched = await consumer.getmany(changelog, timeout_ms=200, max_records=MOST_RECORDS)
        if records := fetched.get(changelog):
            changes = ((record.key, record.value) for record in records)
            store.write(changelog.partition, changes, records[-1].offset)
            count += len(records)
    return count
