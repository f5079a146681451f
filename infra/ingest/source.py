"""The foreign topics, read as a member of a group whose offsets only transactions move."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from infra.ingest.assigning import OneForAll
from infra.ingest.ordering import Fetched, Reached, TakenBeyond
from infra.ingest.settings import Settings
from infra.runtime.aiokafka_changes import (
    as_fetched,
    end_on_deleted,
    fetch_without_pause,
    generation_of,
    member_of,
    position_of,
)
from infra.runtime.cli_errors import StopError
from infra.runtime.group_transactions import GroupMember, Offsets, stable_offsets
from infra.runtime.kafka import (
    TopicsError,
    admin_client,
    client_options,
    committed_offsets,
    consumer_options,
    describe_cluster,
    is_transient,
)
from infra.runtime.retry import retried

_WAIT_MS = 200
_ANSWER_MS = 100  # of a merge, which goes on once a partition's end is seen again; else 500


class DeletedError(StopError):
    """Records that were not read yet are no longer in their topic."""


async def pin_offsets(settings: Settings, topics: Sequence[str], *, from_beginning: bool) -> None:
    """Give the group an offset for every partition of the topics that it has none for at all.

    So what arrives between the start and the first transaction is read also where a crash lies between. A
    partition that is added to a topic later has none: it is read from its beginning.

    Raises:
        TopicsError: There is no such topic.
        KafkaError: No broker can be reached.
    """
    async with admin_client(settings, "ingest-topics") as admin:
        cluster = await describe_cluster(admin, topics)
        if missing := [topic for topic in topics if topic not in cluster.topics]:
            raise TopicsError(f"there is no topic {', '.join(missing)} to read")
        new = [topic for topic in topics if not await _committed(admin, settings, topic)]
    partitions = [TopicPartition(topic, number) for topic in new for number in cluster.topics[topic]]
    if partitions:
        # In the group by name alone: a member's offsets, which are there before ours, cannot be overwritten.
        options = {**consumer_options(settings, "ingest-pin"), "group_id": settings.group}
        async with AIOKafkaConsumer(**options) as consumer:
            consumer.assign(partitions)
            ends = consumer.beginning_offsets if from_beginning else consumer.end_offsets
            await consumer.commit(await ends(partitions))


async def _committed(admin: AIOKafkaAdminClient, settings: Settings, topic: str) -> Mapping[int, object]:
    """The group's offsets. The broker makes the topic that has these when a group asks for the first time."""
    return await retried(
        partial(committed_offsets, admin, settings.group, topic),
        is_transient,
        what=f"group {settings.group}",
        within=settings.retry_seconds,
    )


class ForeignTopics(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the group: `async with` joins, and leaves.

    After each rebalance `is_new` is true until `locate` has said where to go on. Partitions are given up
    while nobody holds `busy`.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        *,
        merges: bool = False,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self.is_new = False
        self.busy = asyncio.Lock()
        self._newest = 0
        self.committed: dict[TopicPartition, int] = {}
        """The group's offsets of our partitions."""
        self._answers: dict[TopicPartition, tuple[int, int]] = {}
        self.member = GroupMember(settings.group, -1, "")
        self.consumer = AIOKafkaConsumer(
            **client_options(settings, "ingest"),
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of partitions that are new, until `locate` has looked
            isolation_level="read_committed",
            key_deserializer=as_fetched,
            partition_assignment_strategy=(OneForAll if merges else RoundRobinPartitionAssignor,),
            session_timeout_ms=int(settings.session_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_seconds * 200),
            fetch_max_wait_ms=_ANSWER_MS if merges else 500,
            max_poll_interval_ms=86_400_000,  # a registry or a broker that is away is waited for
        )

    async def __aenter__(self) -> Self:
        await self.consumer.start()
        fetch_without_pause(self.consumer)
        self.consumer.subscribe(self._topics, listener=self)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.consumer.stop()

    async def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        """Let the transaction in flight end."""
        async with self.busy:
            self.is_new = True

    async def on_partitions_assigned(self, _assigned: Collection[TopicPartition]) -> None:
        """Have it found out where to go on."""
        self.is_new = True

    @property
    def partitions(self) -> list[TopicPartition]:
        """Those that are ours now, in order."""
        return sorted(self.consumer.assignment())

    def claim(self) -> list[TopicPartition]:
        """The partitions that are ours from now on; `is_new` tells whether that is over."""
        self.is_new = False
        generation, member = generation_of(self.consumer), member_of(self.consumer)
        self.member = GroupMember(self._settings.group, generation, member)
        return self.partitions

    async def locate(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, TakenBeyond]:
        """Go to the group's offsets; what is taken beyond them.

        Raises:
            DeletedError: Records from there on are deleted.
            TimeoutError: A transaction with these offsets stays open.
            KafkaError: Kafka does not answer.
        """
        if not partitions:
            return {}
        async with admin_client(self._settings, "ingest-offsets") as admin:
            offsets = await stable_offsets(
                admin, self._settings.group, partitions, within=self._settings.retry_seconds
            )
        beginnings = await self.consumer.beginning_offsets(partitions)
        self._check(offsets, beginnings)
        found = {one: offsets.get(one, OffsetAndMetadata(beginnings[one], "")) for one in partitions}
        self.committed = {one: its.offset for one, its in found.items()}
        for one in partitions if not self.is_new else ():
            self.consumer.seek(one, found[one].offset)
        end_on_deleted(self.consumer)
        return {one: TakenBeyond.noted(its.metadata) for one, its in found.items()}

    def _check(self, offsets: Offsets, beginnings: Mapping[TopicPartition, int]) -> None:
        if gone := [one for one, its in offsets.items() if its.offset < beginnings[one]]:
            each = ", ".join(
                f"{one.topic} {one.partition}:{offsets[one].offset}-{beginnings[one] - 1}" for one in gone
            )
            raise DeletedError(
                f"deleted by the topic's retention before they were read: {each}. To go on with what is "
                f"left, stop every ingest and set the group {self._settings.group} to the earliest offsets "
                "(kafka-consumer-groups --reset-offsets --to-earliest)"
            )

    async def fetch(self, most: int) -> Fetched:
        """What has arrived, at most so many records, once something has or a moment is over.

        Raises:
            DeletedError: Records are deleted that were not read yet.
            KafkaError: They cannot be read.
        """
        try:
            fetched: dict[TopicPartition, Any] = await self.consumer.getmany(
                timeout_ms=_WAIT_MS, max_records=most
            )
        except OffsetOutOfRangeError as error:
            raise DeletedError(f"deleted before they were read, from {error}") from error
        return {} if self.is_new else fetched

    def reached(self) -> dict[TopicPartition, Reached]:
        """How far each partition of ours is fetched."""
        return {one: self._reached(one) for one in self.partitions}

    def _reached(self, partition: TopicPartition) -> Reached:
        end, position = self.consumer.last_stable_offset(partition), position_of(self.consumer, partition)
        at_end = end is not None and position is not None and position >= end
        return Reached(at_end, self._asked(partition), position or 0)

    def _asked(self, partition: TopicPartition) -> int:
        """When the last answer but one was seen: the last may have lain here while records were converted."""
        answered = self.consumer.last_poll_timestamp(partition) or 0
        former, last = self._answers.get(partition, (0, 0))
        if answered != last:
            self._answers[partition] = former, last = last, answered
        return former

    def hold(self, full: set[TopicPartition]) -> None:
        """Fetch nothing of these partitions for now, and of the others again."""
        paused = self.consumer.paused()
        self.consumer.pause(*full - paused)
        self.consumer.resume(*paused - full)

    def has_answered(self) -> bool:
        """Whether a broker has answered a fetch since the last look; for no partition nobody fetches."""
        partitions = self.partitions
        newest = max((self.consumer.last_poll_timestamp(one) or 0 for one in partitions), default=0)
        answered, self._newest = newest > self._newest or not partitions, newest
        return answered

    def lags(self) -> Iterable[tuple[TopicPartition, int, int, int]]:
        """Of each partition how many offsets can be read, are held back, and are not committed yet."""
        for one in self.partitions if not self.is_new else ():
            stable, position = self.consumer.last_stable_offset(one), position_of(self.consumer, one)
            if stable is not None and position is not None:
                end = self.consumer.highwater(one) or 0
                behind = max(0, stable - self.committed.get(one, position))
                yield one, max(0, stable - position), max(0, end - stable), behind
