"""Delivery of records that somebody waits for: each is answered with its place, in a bounded time."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from infra.produce.delivery import DeliveryError, InputSettings, connected, end_producer, new_producer
from infra.produce.rows import ProducerRecord
from infra.runtime.partitioners import Partitioner
from schemas.dead_letter import Place

_GIVE_UP_SECONDS = 10.0
"""A producer of which a record is out for longer is ended: what it knows of the cluster may be wrong."""
_METADATA_MILLISECONDS = 30_000
"""An added partition is noticed after this time at the latest."""

Sent = asyncio.Future[RecordMetadata]


class InletSettings(InputSettings, Protocol):
    """What is needed of a program's settings."""

    @property
    def dependency_seconds(self) -> float:
        """How long Kafka is waited for."""


class _Session:
    """A producer, until its first failure: the order of what is on its way is not known then."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitioner: Partitioner) -> None:
        self._producer, self._topic, self._partitioner = producer, topic, partitioner
        self._out: dict[Sent, float] = {}
        self._failed = False

    @property
    def out_seconds(self) -> float:
        """How long the oldest record that is on its way has been."""
        return time.monotonic() - next(iter(self._out.values())) if self._out else 0.0

    @property
    def good(self) -> bool:
        """Whether nothing has failed, and the topic has as many partitions as when it was made."""
        known = self._producer.client.cluster.partitions_for_topic(self._topic)
        grown = known and len(known) != self._partitioner.partitions
        return not (self._failed or grown or self.out_seconds > _GIVE_UP_SECONDS)

    async def send(self, record: ProducerRecord) -> Sent:
        """Have a record go out, with others of its partition that come until the last ones are there."""
        at = self._partitioner.of(record.key)
        sent: Sent = await self._producer.send(self._topic, record.value, key=record.key, partition=at)
        self._out[sent] = time.monotonic()
        sent.add_done_callback(self._look)
        return sent

    async def close(self) -> None:
        """End it: what is on its way may arrive nevertheless."""
        await end_producer(self._producer)

    def _look(self, sent: Sent) -> None:
        del self._out[sent]
        self._failed |= sent.cancelled() or sent.exception() is not None


class Inlet:
    """Delivers to the input topic; connects when first asked, and again after a failure.

    A record that was not acknowledged in time may arrive nevertheless.
    """

    def __init__(self, settings: InletSettings, client: str) -> None:
        """`client` is its name in the brokers' logs."""
        self._settings, self._client, self._seconds = settings, client, settings.dependency_seconds
        self._one_at_a_time = asyncio.Lock()
        self._session: _Session | None = None
        self._ending = set[asyncio.Task[None]]()

    async def put(self, records: Sequence[ProducerRecord]) -> list[Place]:
        """Deliver records, those of a key in their order; where each of them came to.

        Raises:
            DeliveryError: Kafka has not taken all of them in time, or takes nothing just now.
            TopicsError: There is no such topic, or its keys do not tell the partitioner.
        """
        try:
            async with asyncio.timeout(self._seconds):
                session = await self._connected()
                if session.out_seconds > self._seconds:
                    raise DeliveryError("nothing is acknowledged")
                sent = [await session.send(record) for record in records]
                await asyncio.wait(sent)
            return [Place(one.result().partition, one.result().offset) for one in sent]
        except (TimeoutError, KafkaError) as error:
            silent = f"not acknowledged within {self._seconds:g} s"
            raise DeliveryError(silent if isinstance(error, TimeoutError) else repr(error)) from error

    async def aclose(self) -> None:
        """End the connection, and wait for those that are still ending."""
        self._replace(None)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _connected(self) -> _Session:
        async with self._one_at_a_time:
            if self._session is None or not self._session.good:
                self._replace(None)
                self._replace(session := await self._connect())
                return session
            return self._session

    async def _connect(self) -> _Session:
        producer = new_producer(
            self._settings, self._client, _GIVE_UP_SECONDS, metadata_max_age_ms=_METADATA_MILLISECONDS
        )
        try:
            # A little less than all of the time: the error then says that it is the broker.
            partitioner = await connected(producer, self._settings, 0.9 * self._seconds)
        except BaseException:
            self._end(end_producer(producer))
            raise
        return _Session(producer, self._settings.transactions_topic, partitioner)

    def _replace(self, session: _Session | None) -> None:
        if self._session is not None:
            self._end(self._session.close())
        self._session = session

    def _end(self, ending: Coroutine[Any, Any, None]) -> None:
        """End it in the background: nobody who sends waits for that."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
