"""A Faust transport that hands the agent one event per fetched partition batch."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import OffsetOutOfRangeError
from faust.exceptions import ConsumerNotStarted
from faust.transport.consumer import Consumer, ensure_TPset
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from mode import Service

from infra.runtime.aiokafka_changes import (
    as_fetched,
    fetch_without_pause,
    generation_of,
    limit_fetches,
    refresh_metadata,
    request_rejoin,
)
from infra.runtime.cli_errors import StopError
from infra.runtime.kafka import consumer_options
from infra.runtime.partitioners import partition_of
from infra.runtime.patience import Patience
from stream_app.batch import Batch, Record
from stream_app.faust_adapter.in_flight import InFlight
from stream_app.faust_adapter.lag import Lags, PartitionLag
from stream_app.faust_adapter.message import BatchMessage
from stream_app.faust_adapter.pump import Pumps, pump

log = logging.getLogger(__name__)

# How often it is asked which brokers and topics there are. aiokafka's 5 minutes are too long to notice by.
_LOOK_SECONDS = 10
# A fetch without data is held this long, and new data of other partitions waits behind it; 10 ms costs about
# 100 empty fetches a second.
_FETCH_WAIT_MS = 10
# What a fetch brings for a partition, as the broker has it (mostly compressed).
FETCH_BYTES = 4 << 20
# Of many partitions each has its part of `fetch_ahead_bytes`, but no less than some hundred messages.
_LEAST_FETCH_BYTES = 128 << 10

# aiokafka leaves the group for good when nothing was polled for so long (Faust's default is 1,000 s), and a
# spare worker has no partition to poll: the one that it was kept for died, and it never took over (aiokafka
# 720). Heartbeats tell the group who is alive, and a batch waits for its services in bounded time.
_NEVER_MS = 1 << 62


class SourceGapError(StopError):
    """Records that have not been scored are no longer in Kafka."""


@dataclass(slots=True, eq=False)
class GroupListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes the group's rebalances on to Faust."""

    consumer: "BatchConsumer"
    kafka: AIOKafkaConsumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Give all partitions up, before the group is joined again."""
        self.consumer.app.on_rebalance_start()
        await self.consumer.on_partitions_revoked(ensure_TPset(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Have the assigned partitions taken over."""
        self.consumer.app.consumer_generation_id = generation = generation_of(self.kafka)
        await self.consumer.on_partitions_assigned(ensure_TPset(assigned), generation)


class BatchConsumer(Consumer):  # type: ignore[misc]
    """Faust's consumer over an aiokafka consumer on the same loop, by batch."""

    consumer_stopped_errors = stock.Consumer.consumer_stopped_errors
    _new_topicpartition = staticmethod(TP)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._consumer: AIOKafkaConsumer | None = None
        self._pumps = Pumps(self._flowing, self._pump)
        self.lags = Lags()
        settings = self.app.settings
        self.in_flight = InFlight(settings.in_flight_transactions, settings.in_flight_bytes)

    # --- starting and stopping

    async def on_start(self) -> None:
        """Connect to Kafka."""
        self._consumer = AIOKafkaConsumer(
            **consumer_options(self.app.settings, "worker"),
            **self._group_options(),
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            key_deserializer=as_fetched,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        await self._consumer.start()
        fetch_without_pause(self._consumer)

    def _group_options(self) -> dict[str, Any]:
        conf = self.app.conf
        return {
            "group_id": conf.id,
            "partition_assignment_strategy": [self.app.assignor],
            "session_timeout_ms": int(conf.broker_session_timeout * 1000),
            "heartbeat_interval_ms": int(conf.broker_heartbeat_interval * 1000),
            "rebalance_timeout_ms": int(conf.broker_rebalance_timeout * 1000),
            "request_timeout_ms": int(conf.broker_request_timeout * 1000),
            "max_poll_interval_ms": _NEVER_MS,
        }

    async def on_stop(self) -> None:
        """Finish what is in flight, then leave the group."""
        await super().on_stop()
        if self._consumer is not None:
            await self._consumer.stop()

    def close(self) -> None:
        """Faust's call at a rebalance while stopping: `on_stop` closes."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _watch_brokers(self) -> None:
        """End the worker once no broker has answered for `retry_seconds`, also where nothing is pumped."""
        within = self.app.settings.retry_seconds
        waits = Patience("no broker of KAFKA_BOOTSTRAP_SERVERS has answered", within)
        while not self.should_stop:
            if await refresh_metadata(self._kafka, within):
                waits.renew()
            waits.check()
            await self.lags.look(self._kafka)
            await self.sleep(_LOOK_SECONDS)

    def partition_lags(self) -> Iterator[PartitionLag]:
        """How far behind our partitions are."""
        return iter(()) if self._consumer is None else self.lags.of(self._consumer)

    # --- the pumps

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            await self._pumps.run()
        except asyncio.CancelledError:
            if not fetcher.should_stop:
                raise  # else the fetcher is stopping, which Faust takes for a crash during a rebalance

    def _flowing(self) -> set[TP]:
        """The partitions to pump: none during a rebalance."""
        if self.should_stop or not self.can_resume_flow.is_set():
            return set()
        return {tp for tp in self._get_active_partitions() if not self._is_changelog_tp(tp)}

    def stop_flow(self) -> None:
        """Stop the pumps."""
        super().stop_flow()
        self._pumps.restart()

    def resume_flow(self) -> None:
        """Restart the pumps. Faust calls stop_flow only on members that own partitions."""
        super().resume_flow()
        self._pumps.restart()

    async def _pump(self, tp: TP) -> NoReturn:
        source, process, settings = TopicPartition(*tp), partial(self._process, tp), self.app.settings
        try:
            await pump(
                self._kafka,
                source,
                batch_size=settings.batch_size,
                in_flight=self.in_flight,
                patience=settings.retry_seconds,
                process=process,
            )
        except OffsetOutOfRangeError:
            raise self._gone(source, await self._beginning(source), "the group's offset is") from None

    async def _process(self, tp: TP, records: Sequence[Record], position: int) -> bool:
        """Hand a batch over to the agent and wait for its end; False when it was abandoned."""
        batch = Batch(tp.partition, records, position)
        message = BatchMessage(tp, batch, self.app.consumer_generation_id)
        self.app.monitor.track_tp_end_offset(tp, self._kafka.highwater(tp))
        await self.callback(message)
        await message.finished.wait()
        if message.acked:
            self.lags.finished[TopicPartition(*tp)] = batch.next_offset
        return bool(message.acked)

    def _gone(self, source: TopicPartition, beginning: int, what: str) -> SourceGapError:
        return SourceGapError(
            f"{source.topic} partition {source.partition}: {what} no longer in Kafka, which has offsets from "
            f"{beginning} on. What is between may have been records, which are lost to this worker, or only "
            "transaction markers: nothing tells any more. To go on, stop the workers and set the "
            f"group {self.app.conf.id} to {beginning} (kafka-consumer-groups --reset-offsets --to-offset)."
        )

    async def _beginning(self, source: TopicPartition) -> int:
        beginnings: dict[TopicPartition, int] = await self._kafka.beginning_offsets([source])
        return beginnings[source]

    def ack(self, message: BatchMessage) -> bool:
        """Mark a batch as finished, which lets its partition's pump fetch the next."""
        message.acked = True
        self._unacked_messages.discard(message)
        message.finished.set()
        return True

    def abandon(self, message: BatchMessage) -> None:
        """Mark a batch as not finished here: its partition's next owner replays it."""
        self._unacked_messages.discard(message)
        message.finished.set()

    async def wait_empty(self) -> None:
        """Give batches in flight a bounded time to finish; those cut off later are replayed."""
        if not self.app.crashed:
            finished = [message.finished.wait() for message in self._unacked_messages]
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*finished), self.app.conf.broker_rebalance_timeout / 3)
        self._unacked_messages.clear()

    async def commit(self, *_args: Any, **_kwargs: Any) -> bool:
        """Commit nothing: each batch's offset is in its own transaction."""
        return False

    # --- positions

    async def perform_seek(self) -> None:
        """Go to where each partition's last transaction left off, or to its beginning when there was none.

        Raises:
            SourceGapError: What follows the last stored row is no longer in Kafka.
        """
        positions = await self.app.ownership.positions()
        self._limit_fetches()
        self.lags.finished.clear()
        for tp in self._kafka.assignment():
            if self._is_changelog_tp(tp):
                self._kafka.pause(tp)  # assigned for routing and Faust's assignor; a take-over reads it
                self._kafka.seek(tp, 0)
            else:
                position = positions.get(tp.partition)
                self._begin(tp, position.next_offset if position else await self._first_offset(tp))

    def _begin(self, tp: TopicPartition, offset: int) -> None:
        self.lags.finished[tp] = offset
        self._kafka.seek(tp, offset)

    def _limit_fetches(self) -> None:
        """Share what may be fetched ahead out among the partitions."""
        ours = sum(not self._is_changelog_tp(tp) for tp in self._kafka.assignment())
        most = self.app.settings.fetch_ahead_bytes // max(ours, 1)
        limit_fetches(self._kafka, max(_LEAST_FETCH_BYTES, min(most, FETCH_BYTES)))

    async def _first_offset(self, tp: TopicPartition) -> int:
        """Where to begin without an offset of the group, which is new, or whose offset has expired."""
        beginning, stored_up_to = await self._beginning(tp), self.app.ownership.stored_up_to(tp.partition)
        if 0 < stored_up_to < beginning:
            what = f"the group has no offset, and what follows Postgres' rows, from {stored_up_to} on, is"
            raise self._gone(tp, beginning, what)
        if beginning > 0:
            log.warning(
                "%s partition %d begins at offset %d: what was before is not scored; retention, which goes "
                "by the records' timestamps, has deleted it",
                *tp,
                beginning,
            )
        return beginning

    async def _unused(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            "only Faust's fetching, recovery and making of topics call this: none is used"
        )

    _commit = _getmany = _seek = seek_to_committed = seek_wait = position = _to_message = _unused
    earliest_offsets = highwaters = highwater = key_partition = create_topic = _unused

    # --- the group

    @property
    def _kafka(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise ConsumerNotStarted("the consumer has not been started")
        return self._consumer

    def rejoin(self) -> None:
        """Request a rebalance, after which all partitions are taken over again."""
        request_rejoin(self._kafka)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for these topics."""
        self._kafka.subscribe(topics=set(topics), listener=GroupListener(self, self._kafka))

    def assignment(self) -> set[TP]:
        """The partitions that are ours."""
        partitions: set[TP] = ensure_TPset(self._kafka.assignment())
        return partitions

    def topic_partitions(self, topic: str) -> int | None:
        """How many partitions a topic has."""
        return len(self._kafka.partitions_for_topic(topic) or ()) or None


class BatchProducer(stock.Producer):  # type: ignore[misc]
    """Faust's producer, which is left with finding a key's partition, to route web requests."""

    def key_partition(self, topic: str, key: bytes) -> TP:
        """The partition of a key by the producers' partitioner; Kafka's default while it is learned."""
        partitions = self.app.consumer.topic_partitions(topic) or 1
        return TP(topic, partition_of(self.app.placement.name or "murmur2", key, partitions))


class BatchTransport(stock.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer by batch."""

    Consumer = BatchConsumer
    Producer = BatchProducer
