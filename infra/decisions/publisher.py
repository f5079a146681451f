"""Decisions from Postgres to the control topic: each once in every partition, in the order of their numbers.

Anybody may publish, at any time. A lock in Postgres keeps two from undoing each other's work. What makes it
exact is Kafka's fencing: starting the producer ends a former one's transaction, also where its process hangs
and has lost the lock. Only then is it looked up how far each partition has come. So a publisher that is
killed anywhere leaves nothing half-written, and the next one goes on.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Protocol, TypeVar

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from infra.decisions.history import after, newest_seq
from infra.runtime.cli_errors import StopError
from infra.runtime.kafka import (
    ClientSettings,
    admin_client,
    check_present,
    client_options,
    consumer_options,
    describe_cluster,
)
from infra.runtime.postgres import SESSION
from schemas.decision import MOST_BYTES, Decision, UnreadableDecisionError, key_of

# The session of a publisher that hangs ends, and with it its lock. One that is still at work then is fenced.
_LIMITS = {
    **SESSION,
    "application_name": "txnwatch-publisher",
    "idle_session_timeout": "30s",
    "lock_timeout": "10s",
}
_LOCK = "SELECT pg_advisory_lock(hashtext('decisions published to ' || $1))"
_AT_A_TIME = 500
_TRANSACTION_BYTES = 8 << 20  # over all partitions
# So far before the end is looked for a partition's last decision, and twice as far each time there is none.
_LOOK_BACK = 8
_LARGEST_REQUEST = MOST_BYTES + 100_000

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer)
Last = dict[int, Decision | None]
"""By partition, the last decision there."""


class ControlSettings(ClientSettings, Protocol):
    """What is needed of a program's settings."""

    @property
    def control_topic(self) -> str:
        """The topic."""


class ForeignLogError(StopError):
    """The control topic has other decisions than the database."""


async def publish(settings: ControlSettings, postgres_url: str, *, is_new: bool = False) -> int:
    """Write what the control topic lacks, with `is_new` without a look first; the newest decision's number.

    Raises:
        ForeignLogError: The topic has decisions of another database.
        TopicsError: There is no such topic.
        asyncpg.LockNotAvailableError: Another publisher is at work, for long.
        KafkaError: Kafka does not take them; what is written is whole.
    """
    connection = await asyncpg.connect(postgres_url, server_settings=_LIMITS)
    try:
        newest = await newest_seq(connection)
        if is_new or is_behind(await last_decisions(settings), newest):
            await connection.execute(_LOCK, settings.control_topic)
            async with _producer(settings) as producer:
                newest = await _catch_up(settings, connection, producer)
        return newest
    finally:
        await connection.close()


def is_behind(last: Last, newest: int) -> bool:
    """Whether a partition lacks a decision."""
    return any(_seq(decision) != newest for decision in last.values())


async def _catch_up(
    settings: ControlSettings, connection: asyncpg.Connection, producer: AIOKafkaProducer
) -> int:
    last = await last_decisions(settings)
    reached = {partition: _seq(decision) for partition, decision in last.items()}
    await _check_same(connection, last)
    seq = min(reached.values())
    while decisions := await after(connection, seq, _AT_A_TIME):
        some = _bounded(decisions, len(reached))
        await _write(producer, settings.control_topic, some, reached)
        seq = some[-1].seq
    return seq


async def _write(
    producer: AIOKafkaProducer, topic: str, decisions: Sequence[Decision], reached: Mapping[int, int]
) -> None:
    async with producer.transaction():
        sent = [
            await producer.send(topic, decision.encode(), key_of(decision.seq), partition)
            for decision in decisions
            for partition, seq in reached.items()
            if decision.seq > seq
        ]
        for one in sent:  # aiokafka commits a transaction also where one of its batches has failed
            await one


def _bounded(decisions: Sequence[Decision], partitions: int) -> Sequence[Decision]:
    """The first of these, as many as go into a transaction; one at least."""
    sizes = accumulate(partitions * len(decision.encode()) for decision in decisions)
    return decisions[: max(1, sum(size <= _TRANSACTION_BYTES for size in sizes))]


async def _check_same(connection: asyncpg.Connection, last: Last) -> None:
    """See that the topic's last decisions are the database's of these numbers."""
    for decision in last.values():
        if decision is not None and await after(connection, decision.seq - 1, 1) != [decision]:
            raise ForeignLogError(
                f"decision {decision.seq} of the control topic is not the database's: one of them is of "
                "another installation (TXNWATCH_CONTROL_TOPIC), or the database is an older copy"
            )


async def last_decisions(settings: ControlSettings) -> Last:
    """The last decision of each partition of the control topic.

    Raises:
        TopicsError: There is no such topic.
        ForeignLogError: It is none that this program reads.
    """
    topic = settings.control_topic
    async with admin_client(settings, "control") as admin:
        check_present(cluster := await describe_cluster(admin, [topic]), [topic])
    partitions = [TopicPartition(topic, number) for number in sorted(cluster.topics[topic])]
    async with _started(AIOKafkaConsumer(**consumer_options(settings, "control"))) as consumer:
        beginnings = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        records = await _last_records(consumer, beginnings, ends)
    return {
        one.partition: _decision(records[one.partition]) if one.partition in records else None
        for one in partitions
    }


def _decision(record: "ConsumerRecord[bytes, bytes]") -> Decision:
    try:
        return Decision.decode(record.value)
    except UnreadableDecisionError as error:
        raise ForeignLogError(f"{record.topic} {record.partition}:{record.offset}: {error}") from None


Offsets = Mapping[TopicPartition, int]
_Records = dict[int, "ConsumerRecord[bytes, bytes]"]


async def _last_records(consumer: AIOKafkaConsumer, beginnings: Offsets, ends: Offsets) -> _Records:
    """The last record of each partition that has one: the offsets at the end may be markers'."""
    found: _Records = {}
    back, missing = _LOOK_BACK, {*ends}
    while missing:
        for one in ends:  # each is to be somewhere: asking for a position that is not known is an error
            consumer.seek(one, max(beginnings[one], ends[one] - back) if one in missing else ends[one])
        found |= await _read_up_to(consumer, ends)
        missing = {one for one in ends if one.partition not in found and beginnings[one] < ends[one] - back}
        back *= 2
    return found


async def _read_up_to(consumer: AIOKafkaConsumer, ends: Offsets) -> _Records:
    """The last record of each partition before its end, from where the consumer is."""
    found: _Records = {}
    while any([await consumer.position(one) < end for one, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=200)).values():
            found |= {record.partition: record for record in records}
    return found


def _seq(decision: Decision | None) -> int:
    return 0 if decision is None else decision.seq


@asynccontextmanager
async def _producer(settings: ControlSettings) -> AsyncIterator[AIOKafkaProducer]:
    """The one producer of the topic: that it starts ends what another has left open."""
    producer = AIOKafkaProducer(
        **client_options(settings, "publisher"),
        transactional_id=f"{settings.control_topic}-publisher",
        max_request_size=_LARGEST_REQUEST,
    )
    async with _started(producer):
        yield producer


@asynccontextmanager
async def _started(client: Client) -> AsyncIterator[Client]:
    """A client until the end of the block, stopped also where its start is cut off."""
    try:
        await client.start()
        yield client
    finally:
        await client.stop()
