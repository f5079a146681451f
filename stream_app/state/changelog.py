"""A partition's windows brought up to the end of its changelog.

Stock Faust waits for the changelog's last offset, which in a changelog written in transactions is a commit
marker and never delivered, and it reads what was aborted. Here only committed records count, and the
end is where the consumer's position reaches the end offset.
"""

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.runtime.cli_errors import StopError
from infra.runtime.kafka import Records, consumer_options, read_until
from stream_app.settings import Settings
from stream_app.state.store import NO_USER, WindowStore, WrongWindowsError
from stream_app.window import VERSION, is_later

_MOST_RECORDS = 10_000


class KafkaMismatchError(StopError):
    """What is known here goes past what Kafka has: a topic was truncated or recreated."""


async def restore(
    store: WindowStore, partition: int, settings: Settings, *, stored_up_to: int = 0, reached: int = -1
) -> int:
    """Apply the changelog's records that the open database lacks; how many there were.

    Postgres has rows of the source up to `stored_up_to`; the changelog once had a change at offset `reached`.

    Raises:
        KafkaMismatchError: The source or the changelog does not reach what it once did or what the database
            holds, or the changelog does not have all that the database lacks.
    """
    changelog = TopicPartition(settings.changelog_topic, partition)
    source = TopicPartition(settings.transactions_topic, partition)
    options = consumer_options(settings, f"restore-{partition}")
    async with AIOKafkaConsumer(
        **options, fetch_max_wait_ms=50, max_partition_fetch_bytes=4 << 20
    ) as consumer:
        consumer.assign([changelog])
        ends = await consumer.end_offsets([changelog, source])
        beginning = (await consumer.beginning_offsets([changelog]))[changelog]
        if stored_up_to > ends[source]:
            raise KafkaMismatchError(
                f"partition {partition}: Postgres has rows up to offset {stored_up_to}, but "
                f"{source.topic} ends at {ends[source]}: it was truncated or recreated. If that was meant, "
                "`txnwatch state start-over` forgets windows and offsets, which are the former topic's."
            )
        if reached >= ends[changelog]:
            raise KafkaMismatchError(
                f"partition {partition}: the changelog once had an offset {reached} and ends at "
                f"{ends[changelog]}: it was truncated or recreated, and windows are lost. To score again "
                "from the source: `txnwatch state start-over`."
            )
        consumer.seek(changelog, _start(store, partition, beginning, ends[changelog]))
        patience = settings.retry_seconds
        fetches = read_until(consumer, changelog, ends[changelog], most=_MOST_RECORDS, patience=patience)
        return await _apply(store, partition, fetches)


async def _apply(store: WindowStore, partition: int, fetches: AsyncIterator[Records]) -> int:
    count = 0
    async for records in fetches:
        changes = readable(partition, records)
        store.write(partition, changes, records[-1].offset)
        count += len(records)
        store.restored += len(records)
    return count


def readable(partition: int, records: Records) -> list[tuple[bytes, bytes | None]]:
    """The records' keys and values, where all windows are of versions that this program reads."""
    for record in records:
        if record.value and is_later(record.value) and not record.key.startswith(NO_USER):
            raise WrongWindowsError(
                f"partition {partition}: the changelog has windows of version {record.value[0]}, of a later "
                f"txnwatch; this one reads up to {VERSION}: run that one"
            )
    return [(record.key, record.value) for record in records]


def _start(store: WindowStore, partition: int, beginning: int, end: int) -> int:
    local = store.changelog_offset(partition)
    if beginning > (0 if local is None else local + 1):
        raise KafkaMismatchError(
            f"partition {partition}: the changelog begins at offset {beginning}, and these windows lack what "
            "was before: records were deleted from it, which has to be compacted alone. Start the worker "
            "whose data folder has all windows, or score again from the source: `txnwatch state start-over`."
        )
    if local is None:
        return beginning
    if local >= end:
        raise KafkaMismatchError(
            f"partition {partition}: the local windows stand at changelog offset {local}, but the changelog "
            f"ends at {end}: it was truncated or recreated. If that was meant, delete this worker's data "
            "folder."
        )
    return local + 1
