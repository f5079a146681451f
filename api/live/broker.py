"""The API's connections to Kafka, and what it asks besides records: partitions, offsets, the workers' group.

Connects when asked. Every answer is bounded in time; without one a request ends as Unavailable, and its
connection is given up: the next request makes a new one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from api.live.event_id import former_incarnation_of, incarnation_of
from api.settings import Settings
from api.web.problems import Unavailable
from infra.runtime.kafka import AWAY, client_options, consumer_options, describe_cluster

T = TypeVar("T")
C = TypeVar("C", AIOKafkaConsumer, AIOKafkaAdminClient)

_REQUEST_MILLISECONDS = 10_000
_STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster described it."""

    name: str
    partitions: tuple[TopicPartition, ...] = field(hash=False)  # 200 of them cost more than the look-up
    incarnation: str
    former_incarnation: str


class Broker:
    """Makes clients, and answers about topics over two of its own, which read no records.

    Raises:
        Unavailable: Kafka does not answer, or has no such topic.
    """

    def __init__(self, settings: Settings) -> None:
        self._options = {**consumer_options(settings, "api"), "request_timeout_ms": _REQUEST_MILLISECONDS}
        seconds, milliseconds = settings.dependency_seconds, int(settings.dependency_seconds * 1000)
        make_consumer = partial(self.consumer, wait_milliseconds=0, request_timeout_ms=milliseconds)
        options = {**client_options(settings, "api"), "request_timeout_ms": milliseconds}
        make_admin = partial(AIOKafkaAdminClient, **options)
        self._consumer = _Connection(make_consumer, self._started, self._stop, seconds)
        make_uncommitted = partial(make_consumer, isolation_level="read_uncommitted")
        self._uncommitted = _Connection(make_uncommitted, self._started, self._stop, seconds)
        self._admin = _Connection(make_admin, self._started, self._stop, seconds)
        self._topics: dict[str, Topic] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Close the connections, and wait for the clients that are still being stopped; idempotent."""
        for connection in (self._consumer, self._uncommitted, self._admin):
            connection.close()
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=_STOP_SECONDS)

    def consumer(self, *, wait_milliseconds: int, **options: int | str) -> AIOKafkaConsumer:
        """A consumer of committed records in no group, not started; a fetch waits so long for records."""
        return AIOKafkaConsumer(**{**self._options, **options}, fetch_max_wait_ms=wait_milliseconds)

    async def reader(
        self, positions: Mapping[TopicPartition, int], *, wait_milliseconds: int, **options: int
    ) -> AIOKafkaConsumer:
        """A started consumer of these partitions, at these offsets."""
        consumer = await self._started(self.consumer(wait_milliseconds=wait_milliseconds, **options))
        consumer.assign([*positions])
        for partition, offset in positions.items():
            consumer.seek(partition, offset)
        return consumer

    async def paused_reader(self, topic: Topic, wait_milliseconds: int) -> AIOKafkaConsumer:
        """A started consumer of all of the topic, which fetches nothing until a partition is resumed."""
        positions = dict.fromkeys(topic.partitions, 0)
        consumer = await self.reader(positions, wait_milliseconds=wait_milliseconds)
        consumer.pause(*topic.partitions)
        return consumer

    async def _started(self, client: C) -> C:
        """The client of Kafka once it has started; stopped again when that fails or is given up midway."""
        try:
            await client.start()
        except BaseException:
            self._stop(client)
            raise
        return client

    def _stop(self, client: AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
        """Stop a client in the background: cut off midway it would leave connections open."""
        end = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
        self._stopping.add(stopping := asyncio.create_task(end()))
        stopping.add_done_callback(self._stopping.discard)

    async def ask_admin(self, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """The answer to a question about the cluster."""
        return await self._admin.ask(question)

    async def topic(self, name: str) -> Topic:
        """The topic as it is now."""
        cluster = await self.ask_admin(partial(describe_cluster, names=[name]))
        if name not in cluster.topics:
            raise Unavailable(f"Kafka has no topic {name}: run `txnwatch topics`.")
        partitions = tuple(TopicPartition(name, number) for number in sorted(cluster.topics[name]))
        incarnation = incarnation_of(cluster.id, name, cluster.ids.get(name, ""))
        self._topics[name] = topic = Topic(
            name, partitions, incarnation, former_incarnation_of(cluster.id, name)
        )
        return topic

    async def ends(self, name: str) -> dict[int, int]:
        """The offset after the last one that a reader of committed records can get, by partition."""
        return await self._offsets(name, lambda consumer, topic: consumer.end_offsets(topic.partitions))

    async def bounds(self, name: str) -> tuple[dict[int, int], dict[int, int]]:
        """The first offset that the topic still holds, and its end, by partition."""
        beginnings = await self._offsets(name, lambda one, topic: one.beginning_offsets(topic.partitions))
        return beginnings, await self.ends(name)

    async def highwaters(self, name: str) -> dict[int, int]:
        """The offset after the last one that the topic has, readable or not, by partition."""
        return await self._offsets(
            name, lambda consumer, topic: consumer.end_offsets(topic.partitions), self._uncommitted
        )

    async def at(self, name: str, milliseconds: int) -> dict[int, int]:
        """The first offset with this timestamp or a later one, by partition; where there is none, the end."""

        async def ask(consumer: AIOKafkaConsumer, topic: Topic) -> Mapping[TopicPartition, int]:
            found = await consumer.offsets_for_times(dict.fromkeys(topic.partitions, milliseconds))
            ends: dict[TopicPartition, int] = await consumer.end_offsets(topic.partitions)
            return ends | {partition: one.offset for partition, one in found.items() if one}

        return await self._offsets(name, ask)

    async def _offsets(
        self,
        name: str,
        ask: Callable[[AIOKafkaConsumer, Topic], Awaitable[Mapping[TopicPartition, int]]],
        connection: "_Connection[AIOKafkaConsumer] | None" = None,
    ) -> dict[int, int]:
        topic = self._topics.get(name) or await self.topic(name)
        try:
            offsets = await (connection or self._consumer).ask(lambda consumer: ask(consumer, topic))
        except Unavailable:
            self._topics.clear()  # Kafka may come back with recreated ones
            raise
        return {partition.partition: offsets[partition] for partition in topic.partitions}


@dataclass(slots=True)
class _Connection(Generic[C]):
    """A client that is connected when first asked, and again after a question that failed."""

    _make: Callable[[], C]
    _started: Callable[[C], Awaitable[C]]
    _stop: Callable[[C], None]
    _seconds: float
    _one_at_a_time: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _client: C | None = field(init=False, default=None)

    async def ask(self, question: Callable[[C], Awaitable[T]]) -> T:
        before = self._client
        try:
            async with asyncio.timeout(self._seconds):
                return await question(await self._connected())
        except AWAY as error:
            if before is None or self._client is before:  # a newer connection is not to blame
                self.close()
            raise Unavailable("Kafka does not answer.") from error

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._stop(client)

    async def _connected(self) -> C:
        async with self._one_at_a_time:
            if self._client is None:
                self._client = await self._started(self._make())
            return self._client
