"""Where a replay takes transactions from, in the order of their arrival: the topic, or rows of Postgres."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.database import rights
from infra.runtime.kafka import Records, consumer_options, read_until
from infra.runtime.postgres import SESSION
from schemas.checks import OPTIONAL
from stream_app.batch import Record
from stream_app.commands.replay.differences import Gap
from stream_app.settings import Settings
from stream_app.state.changelog import KafkaMismatchError

ROW_RIGHTS = rights(("transactions", "transactions_replaced", "sink_offsets"), ("SELECT",))
_SESSION = {**SESSION, "application_name": "txnwatch-replay", "timezone": "UTC"}
_COLUMNS = ", ".join(["id", "user_id", "amount", "currency", "txn_date", "status", "meta_data", *OPTIONAL])
_OF_SOURCE = """
source = $1 AND source_offset >= $2 AND source_offset < $3 AND ($4::uuid IS NULL OR user_id = $4::uuid)
"""
_ROWS = f"""
SELECT source_offset, user_id::text AS user_id, (to_jsonb(one) - 'source_offset')::text AS message FROM (
    SELECT {_COLUMNS}, source_offset FROM transactions WHERE {_OF_SOURCE}
    UNION ALL SELECT {_COLUMNS}, source_offset FROM transactions_replaced WHERE {_OF_SOURCE}
) AS one ORDER BY source_offset
"""  # noqa: S608 - constants
_SOURCE = """
SELECT source, kept_from FROM sink_offsets WHERE app_id = $1 AND topic = $2 AND partition = $3
"""
_FETCH_BYTES = 4 << 20
_MOST_ROWS = 5_000  # some 20 MB where each has 4 kB


class Arrivals(NamedTuple):
    """What arrived between two offsets of a partition."""

    begins: int
    """The first offset of which it is known."""
    gap: Gap | None
    """Where not all before that is there."""
    fetches: AsyncGenerator[Sequence[Record], None]


class ArrivalSource(Protocol):
    """Where transactions come from."""

    def opened(self, partition: int, start: int, end: int, most: int) -> Any:
        """A context with the arrivals of a partition between two offsets, at most so many at a time."""


@dataclass(slots=True)
class TopicSource:
    """The topic."""

    settings: Settings

    @asynccontextmanager
    async def opened(self, partition: int, start: int, end: int, most: int) -> AsyncIterator[Arrivals]:
        """The records that the topic still has.

        Raises:
            KafkaMismatchError: It is not the topic that the rows are of.
        """
        place = TopicPartition(self.settings.transactions_topic, partition)
        options = consumer_options(self.settings, f"replay-{partition}")
        async with AIOKafkaConsumer(**options, max_partition_fetch_bytes=_FETCH_BYTES) as consumer:
            begins = await _assigned(consumer, place, start, end)
            lost = f"records before {begins:,} are gone: users' windows are taken to have been empty"
            fetches = _before(read_until(consumer, place, end, most=most), end)
            yield Arrivals(begins, Gap(begins, lost, fills=True) if begins > start else None, fetches)


async def _before(fetches: AsyncGenerator[Records, None], end: int) -> AsyncGenerator[Sequence[Record], None]:
    async for records in fetches:
        yield [one for one in records if one.offset < end]


async def _assigned(consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int) -> int:
    """The first offset from a start on that there is, at which the consumer then is."""
    consumer.assign([place])
    topic_end = (await consumer.end_offsets([place]))[place]
    if end > topic_end:
        raise KafkaMismatchError(
            f"{place.topic} partition {place.partition} ends at offset {topic_end}, and Postgres has rows up "
            f"to {end}: it was truncated or made anew, and the records that rows are of are gone"
        )
    begins: int = max(start, (await consumer.beginning_offsets([place]))[place])
    consumer.seek(place, begins)
    return begins


@dataclass(slots=True)
class RowRecord:
    """A row as the message that it is of."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = -1


@dataclass(slots=True)
class RowSource:
    """The rows, with those that were replaced; of one user, or of all where none is named."""

    settings: Settings
    user: str = ""

    @asynccontextmanager
    async def opened(self, partition: int, start: int, end: int, most: int) -> AsyncIterator[Arrivals]:
        """The rows that say that they came from this partition, sorted by Postgres."""
        url = self.settings.postgres.get_secret_value()
        connection = await asyncpg.connect(url, server_settings=_SESSION)
        try:
            place = self.settings.app_id, self.settings.transactions_topic, partition
            row = await connection.fetchrow(_SOURCE, *place)
            source, begins = row["source"], max(start, row["kept_from"])
            lost = (
                f"rows of what came before {begins:,} were dropped, or do not say where they came from: "
                "users' windows are taken to have been empty before the others"
            )
            asked = source, start, end, self.user or None
            async with connection.transaction(readonly=True):
                fetches = _messages(connection, asked, min(most, _MOST_ROWS))
                yield Arrivals(begins, Gap(start, lost, fills=True) if begins > start else None, fetches)
        finally:
            await connection.close()


async def _messages(
    connection: asyncpg.Connection, asked: tuple[Any, ...], most: int
) -> AsyncGenerator[Sequence[Record], None]:
    cursor = await connection.cursor(_ROWS, *asked)
    while rows := await cursor.fetch(most):
        messages: list[Record] = [
            RowRecord(row["source_offset"], row["user_id"].encode(), row["message"].encode()) for row in rows
        ]
        yield messages
