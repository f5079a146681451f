"""Kafka as all parts of txnwatch use it: clients, topics, a group's offsets, and a topic read to its end."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from infra.runtime.addresses import KafkaAccess
from infra.runtime.aiokafka_changes import send_request
from infra.runtime.cli_errors import StopError
from infra.runtime.kafka_access import UnreachableError, access_options, reason
from infra.runtime.patience import Patience
from infra.runtime.retry import causes
from infra.runtime.topic_metadata import TopicsRequest

Records: TypeAlias = "list[ConsumerRecord[bytes, bytes]]"

AWAY = (KafkaError, OSError)
"""What requests end with while Kafka is away; a TimeoutError is an OSError."""


class ClientSettings(Protocol):
    """What clients need of a program's settings."""

    @property
    def servers(self) -> Sequence[str]:
        """The bootstrap servers, each `host:port`."""

    @property
    def access(self) -> KafkaAccess:
        """How to connect."""

    @property
    def app_id(self) -> str:
        """What the names of clients begin with."""


class TopicsError(StopError):
    """Topics are missing or do not fit together, or cannot be created; the message names each."""


class RunningError(StopError):
    """What may only be done while no worker runs."""


class Cluster(NamedTuple):
    """A cluster as it described itself."""

    id: str
    topics: Mapping[str, Mapping[int, int]]
    """By name, each partition's leader; -1 for none."""
    ids: Mapping[str, str]
    """By name, the id of the topic: another one than that of a topic of this name that was deleted.

    None of them is known of a broker before Kafka 2.8.
    """


def client_options(settings: ClientSettings, name: str) -> dict[str, Any]:
    """The options that every client of Kafka is made with; `name` is its own in the brokers' logs."""
    named = {"bootstrap_servers": list(settings.servers), "client_id": f"{settings.app_id}-{name}"}
    return named | access_options(settings.access)


def consumer_options(settings: ClientSettings, name: str) -> dict[str, Any]:
    """Those of a consumer of committed records, which commits no offset itself.

    An offset that Kafka no longer has is an error, and no reason to skip records.
    """
    return {
        **client_options(settings, name),
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
    }


def is_transient(error: Exception) -> bool:
    """Whether another attempt may succeed."""
    return any(
        isinstance(one, KafkaTimeoutError) or (isinstance(one, KafkaError) and one.retriable)
        for one in causes(error)
    )


@asynccontextmanager
async def admin_client(settings: ClientSettings, name: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for questions about the cluster, connected while the block runs.

    Raises:
        KafkaError: No broker can be reached.
    """
    admin = AIOKafkaAdminClient(**client_options(settings, name))
    try:
        await start(admin, settings)
        yield admin
    finally:
        await admin.close()


class _Client(Protocol):
    async def start(self) -> None: ...


async def start(client: _Client, settings: ClientSettings) -> None:
    """Start a client of Kafka.

    Raises:
        UnreachableError: No broker lets it in; the message says why.
        KafkaError: Something else is wrong.
    """
    try:
        await client.start()
    except KafkaConnectionError as error:
        raise UnreachableError(await reason(settings.servers, settings.access)) from error


async def describe_cluster(admin: AIOKafkaAdminClient, names: Sequence[str] | None = None) -> Cluster:
    """The cluster with its topics of these names, without those that are not there; by default with all.

    Name them where a program goes on meanwhile: reading the answer for 3,000 topics takes most of a second.
    """
    described = (await send_request(admin, TopicsRequest(names))).to_object()
    topics = {topic["topic"]: topic for topic in described["topics"] if not topic["error_code"]}
    leaders = {
        name: {one["partition"]: one["leader"] for one in topic["partitions"]}
        for name, topic in topics.items()
    }
    ids = {name: topic["id"] for name, topic in topics.items() if "id" in topic}
    return Cluster(str(described["cluster_id"]), leaders, ids)


async def check_topics(settings: ClientSettings, topics: Sequence[str]) -> Cluster:
    """The cluster, once it is known that the topics are there and fit together.

    Raises:
        TopicsError: A topic is missing, or has another number of partitions than the first.
        KafkaError: No broker can be reached.
    """
    async with admin_client(settings, "check") as admin:
        cluster = await describe_cluster(admin, topics)
    check_present(cluster, topics)
    first = len(cluster.topics[topics[0]])
    if wrong := wrong_partitions(cluster, topics, first, f"{topics[0]} has"):
        raise TopicsError("\n".join(wrong))
    return cluster


def check_present(cluster: Cluster, topics: Sequence[str]) -> None:
    """Look for each of the topics.

    Raises:
        TopicsError: Some are missing.
    """
    if missing := [topic for topic in topics if topic not in cluster.topics]:
        raise TopicsError(f"no topic {', '.join(missing)}: create the topics with `txnwatch topics`")


def wrong_partitions(cluster: Cluster, topics: Sequence[str], expected: int, why: str) -> list[str]:
    """A sentence for each topic that exists with another number of partitions; `why` is said before ours."""
    counts = {topic: len(cluster.topics[topic]) for topic in topics if topic in cluster.topics}
    return [
        f"{topic} has {count} partitions, but {why} {expected}"
        for topic, count in counts.items()
        if count != expected
    ]


async def check_nobody_runs(admin: AIOKafkaAdminClient, group: str) -> None:
    """Look for members of the group.

    Raises:
        RunningError: There are some.
        KafkaError: The coordinator cannot be reached.
    """
    try:
        answers = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return  # the cluster has never seen a group
    # Each group: its error, name, state, protocol's type and name, and members.
    if members := sum(len(one[5]) for answer in answers for one in answer.groups):
        raise RunningError(f"{members} workers of {group} run: stop all of them first")


async def committed_offsets(
    admin: AIOKafkaAdminClient, group: str, topic: str
) -> dict[int, OffsetAndMetadata]:
    """A group's offsets by partition of a topic, without the partitions that it has none for.

    Raises:
        KafkaError: The coordinator cannot be reached, or is still loading, which it answers for a moment
            after a broker's start. aiokafka's own call takes that for a group without offsets.
    """
    coordinator = await admin.find_coordinator(group)
    response = await send_request(admin, OffsetFetchRequest(group, None), coordinator)
    partitions = [(name, *one) for name, found in response.topics for one in found]
    for error in (response.error_code, *(one[-1] for one in partitions)):
        if error:
            raise for_code(error)(f"the offsets of group {group}")
    return {
        partition: OffsetAndMetadata(offset, metadata)
        for name, partition, offset, metadata, _error in partitions
        if name == topic and offset >= 0
    }


async def read_committed(
    settings: ClientSettings, topic: str, partitions: Collection[int] | None = None
) -> AsyncGenerator[Records, None]:
    """A topic's committed records from its beginning to where it ends now, by fetch.

    One partition (of those given, or of all) comes after the other, each in its order. No group is joined, so
    that nobody who reads or writes the topic is disturbed. A transaction that is open there is waited for.

    Raises:
        KafkaError: No broker can be reached, there is no such topic, records are deleted while it is read, or
            a transaction stays open.
    """
    async with (
        admin_client(settings, "read") as admin,
        AIOKafkaConsumer(**client_options(settings, "ends")) as anything,
        AIOKafkaConsumer(**consumer_options(settings, "read")) as consumer,
    ):
        if (numbers := (await describe_cluster(admin, [topic])).topics.get(topic)) is None:
            raise UnknownTopicOrPartitionError(f"there is no topic {topic}")
        chosen = [
            TopicPartition(topic, number) for number in sorted(numbers if partitions is None else partitions)
        ]
        beginnings = await anything.beginning_offsets(chosen)
        # The end of all records: that of the committed ones is before the oldest open transaction.
        ends = await anything.end_offsets(chosen)
        if not (filled := [one for one in chosen if beginnings[one] < ends[one]]):
            return
        # Assigned once: stopped right after another assignment, aiokafka's consumer may never end.
        consumer.assign(filled)
        consumer.pause(*filled)
        for partition in filled:
            consumer.seek(partition, beginnings[partition])
            consumer.resume(partition)
            async with aclosing(read_until(consumer, partition, ends[partition])) as fetches:
                async for records in fetches:
                    yield records
            consumer.pause(partition)


async def read_until(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    end: int,
    *,
    most: int | None = None,
    patience: float = 300,
) -> AsyncGenerator[Records, None]:
    """The records from where the consumer is up to an end offset, by fetch, at most so many at a time.

    The consumer's position has to reach it, not a record: the last offset may be that of a transaction's
    marker, which is delivered to nobody.

    Raises:
        KafkaSilentError: The position has not moved for `patience` seconds.
    """
    waits = Patience(f"{partition.topic} partition {partition.partition}: nothing was read", patience)
    reached = -1
    while (position := await consumer.position(partition)) < end:
        if position > reached:
            reached = position
            waits.renew()
        stable = consumer.last_stable_offset(partition)
        is_held = stable is not None and stable <= position
        waits.check(f" at offset {position} of {end}{', where a transaction is open' * is_held}")
        for records in (await consumer.getmany(partition, timeout_ms=200, max_records=most)).values():
            yield records
