"""What the API asks of Kafka besides records: which partitions a topic has, and their offsets.

Connects when asked. Every answer is bounded in time, and Unavailable when there is none; after a
failure the connection is given up and the next question makes a new one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from api.live.event_id import incarnation_of
from api.web.problems import Unavailable
from infra.runtime.kafka import AWAY, ClientSettings, client_options, describe_cluster

log = logging.getLogger(__name__)
T = TypeVar("T")
Action = Callable[[], Coroutine[Any, Any, None]]

_REQUEST_MILLISECONDS = 10_000
_METADATA_MILLISECONDS = 300_000
_STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster described it."""

    name: str
    partitions: tuple[TopicPartition, ...]
    incarnation: str


class Broker:
    """Answers about topics, over one connection that reads no records."""

    def __init__(self, settings: ClientSettings, *, seconds: float) -> None:
        self._options = client_options(settings, "api")
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._offsets: AIOKafkaConsumer | None = None
        self._topics: dict[str, Topic] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Closes the connection, and waits for the clients that are still being stopped; idempotent."""
        await self._disconnect()
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=_STOP_SECONDS)

    async def _disconnect(self) -> None:
        self._topics.clear()
        offsets, self._offsets = self._offsets, None
        if offsets is not None:
            await offsets.stop()

    def consumer(
        self,
        *,
        wait_milliseconds: int,
        request_milliseconds: int = _REQUEST_MILLISECONDS,
        metadata_milliseconds: int = _METADATA_MILLISECONDS,
    ) -> AIOKafkaConsumer:
        """A consumer of committed records in no group, not started.

        A fetch waits so long for records; what is known of the topic is that old at the most.
        """
        return AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=wait_milliseconds,
            request_timeout_ms=request_milliseconds,
            metadata_max_age_ms=metadata_milliseconds,
        )

    async def topic(self, name: str) -> Topic:
        """The topic as it is now; raises Unavailable also when there is none of this name."""

        async def describe() -> Topic:
            async with self._admin() as admin:
                cluster = await describe_cluster(admin)
            if name not in cluster.topics:
                raise Unavailable("kafka", f"Kafka has no topic {name}: run `txnwatch topics`.")
            partitions = tuple(TopicPartition(name, number) for number in sorted(cluster.topics[name]))
            return Topic(name, partitions, incarnation_of(cluster.id, name))

        self._topics[name] = topic = await self._bounded(describe)
        return topic

    async def ends(self, name: str) -> dict[int, int]:
        """The offset after the last one that a reader of committed records can get, by partition."""
        return await self._offsets_of(name, lambda consumer, topic: consumer.end_offsets(topic.partitions))

    async def beginnings(self, name: str) -> dict[int, int]:
        """The first offset that the topic still holds, by partition."""
        return await self._offsets_of(
            name, lambda consumer, topic: consumer.beginning_offsets(topic.partitions)
        )

    async def at(self, name: str, milliseconds: int) -> dict[int, int]:
        """The first offset with this timestamp or a later one, by partition; where there is none, the end."""

        async def ask(consumer: AIOKafkaConsumer, topic: Topic) -> Mapping[TopicPartition, int]:
            found = await consumer.offsets_for_times(dict.fromkeys(topic.partitions, milliseconds))
            ends = await consumer.end_offsets(topic.partitions)
            return {
                partition: one.offset if (one := found[partition]) else ends[partition]
                for partition in topic.partitions
            }

        return await self._offsets_of(name, ask)

    async def _offsets_of(
        self,
        name: str,
        ask: Callable[[AIOKafkaConsumer, Topic], Awaitable[Mapping[TopicPartition, int]]],
    ) -> dict[int, int]:
        topic = self._topics.get(name) or await self.topic(name)

        async def answer() -> dict[int, int]:
            offsets = await ask(await self._connected(), topic)
            return {partition.partition: offsets[partition] for partition in topic.partitions}

        return await self._bounded(answer)

    async def _bounded(self, question: Callable[[], Awaitable[T]]) -> T:
        asked = self._offsets
        try:
            async with asyncio.timeout(self._seconds):
                return await question()
        except AWAY as error:
            if asked is None or self._offsets is asked:  # a newer connection is not to blame
                await self._disconnect()
            raise Unavailable("kafka", "Kafka does not answer.") from error

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._lock:
            if self._offsets is None:
                consumer = self.consumer(wait_milliseconds=0, request_milliseconds=int(self._seconds * 1000))
                await self.start(consumer.start, consumer.stop)
                self._offsets = consumer
            return self._offsets

    def admin(self) -> AIOKafkaAdminClient:
        """A client for questions about the cluster, not started."""
        return AIOKafkaAdminClient(
            **self._options,
            request_timeout_ms=int(self._seconds * 1000),
        )

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = self.admin()
        await self.start(admin.start, admin.close)
        try:
            yield admin
        finally:
            await admin.close()

    async def start(self, start: Action, stop: Action) -> None:
        """Starts a client of Kafka, and stops it again when that fails.

        One that is given up midway is started to the end and then stopped, in the background:
        aiokafka would leave its connection open.
        """
        starting = asyncio.create_task(start())
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            stopping = asyncio.create_task(_stop_after(starting, stop))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
            raise
        except BaseException:
            await stop()
            raise


async def _stop_after(starting: asyncio.Task[None], stop: Action) -> None:
    await asyncio.wait([starting])
    if not starting.cancelled():
        starting.exception()  # nobody else asks for it
    await stop()
