"""The one consumer of a topic, however many clients listen. It runs while somebody does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from api.live.broker import Broker, Topic
from api.live.event_id import EARLIEST, EventId, Missing, Position, settle
from api.settings import Settings
from api.web.problems import Unavailable
from infra.runtime.background import OnDemand, background
from infra.runtime.coalesced import Coalesced
from infra.runtime.kafka import AWAY

_POLL_MILLISECONDS = 500
_POLL_RECORDS = 500
_METADATA_MILLISECONDS = 30_000
"""An added partition is noticed after this time at the latest."""
_NEW_PARTITION_SECONDS = 0.2
"""Until all brokers know of a partition that was added."""

Publish = Callable[[Iterable[ConsumerRecord]], Awaitable[None]]
ReportGap = Callable[[EventId, Sequence[Missing]], None]


class Follower:
    """Follows one topic from its end, and keeps its place while Kafka is away.

    `publish` gets the records of each fetch, and moves the follower on as it goes through them; `report_gap`
    gets what Kafka no longer had when it came back. Unavailable is raised where it has not started.
    """

    def __init__(
        self, topic: str, broker: Broker, settings: Settings, *, publish: Publish, report_gap: ReportGap
    ) -> None:
        self.name = topic
        self._broker = broker
        self._settings = settings
        self._publish = publish
        self._report_gap = report_gap
        self._following = OnDemand(
            f"feed of {topic}",
            self._follow,
            transient=(Unavailable, *AWAY),
            linger_seconds=settings.linger_seconds,
            at_rest=self._forget_place,
        )
        self._live = asyncio.Event()
        self._moved = asyncio.Event()
        self._ends = Coalesced(partial(broker.ends, topic))
        self._bounds = Coalesced(partial(broker.bounds, topic))
        self._known: Topic | None = None
        self._place = Position(EARLIEST)
        self.clients = 0
        """How many clients listen."""

    @property
    def topic(self) -> Topic:
        """What is followed."""
        if self._known is None:
            raise Unavailable("Kafka does not answer.")
        return self._known

    @property
    def event_id(self) -> EventId:
        """Where the follower is."""
        return EventId(self.topic.incarnation, dict(self._place.offsets))

    @property
    def event_id_text(self) -> str:
        """The same as text, for the frame of each record: an EventId would cost a copy of the offsets."""
        return self._place.text

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Follow the topic for a client while the block runs; Unavailable if Kafka does not answer."""
        self.clients += 1
        try:
            async with self.hearing(self._ends.answer):
                yield
        finally:
            self.clients -= 1

    @asynccontextmanager
    async def hearing(self, ask: Callable[[], Awaitable[object]] | None = None) -> AsyncIterator[None]:
        """The same for others, who need not `ask` Kafka whether it answers: they see it by what they send."""
        with self._following.in_use():
            if ask is not None:
                await self._within(ask)
            if not self._live.is_set():
                await self._within(self._live.wait)
            yield

    async def _within(self, answer: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(self._settings.dependency_seconds):
                await answer()
        except TimeoutError:
            raise Unavailable("Kafka does not answer.") from None

    async def moves(self) -> bool:
        """Wait until the follower has moved; False when it has not for as long as a heartbeat."""
        try:
            async with asyncio.timeout(self._settings.heartbeat_seconds):
                return await self._moved.wait()
        except TimeoutError:
            return False

    async def settled(self, asked: EventId) -> tuple[EventId, list[Missing]]:
        """Where reading can go on from `asked`, and what is missing before that."""
        beginnings, ends = await self._bounds.answer()
        if asked == EARLIEST:
            return EventId(self.topic.incarnation, beginnings), []
        # The follower may have read further since the ends were asked for.
        ends = {partition: max(end, self._place.offsets.get(partition, 0)) for partition, end in ends.items()}
        former = self.topic.former_incarnation
        return settle(asked, self.topic.incarnation, beginnings, ends, former=former)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Clients can listen while the block runs."""
        return background(self._following.run(), name=f"feed of {self.name}")

    async def _follow(self) -> None:
        topic = await self._broker.topic(self.name)
        await self._find_place(topic)
        positions = {partition: self._place.offsets[partition.partition] for partition in topic.partitions}
        consumer = await self._broker.reader(
            positions, wait_milliseconds=_POLL_MILLISECONDS, metadata_max_age_ms=_METADATA_MILLISECONDS
        )
        try:
            self._live.set()
            while self._following.wanted:
                known = consumer.partitions_for_topic(topic.name)
                if known and len(known) != len(topic.partitions):
                    await asyncio.sleep(_NEW_PARTITION_SECONDS)
                    return
                await self._read(consumer, topic)
                self._following.succeeded()
                await asyncio.sleep(0)  # a full prefetch buffer would never let others run
        finally:
            await consumer.stop()

    def _forget_place(self) -> None:
        """Start at the end next time: what comes until then is not live for who listens from then on."""
        self._live.clear()
        self._known, self._place = None, Position(EARLIEST)

    async def _find_place(self, topic: Topic) -> None:
        """Set where to read from: the end at first, else where it was, with a gap where that is gone."""
        beginnings, ends = await self._broker.bounds(self.name)
        here = EventId(topic.incarnation, ends) if self._known is None else self.event_id
        point, missing = settle(here, topic.incarnation, beginnings, ends)
        self._known, self._place = topic, Position(point)
        if missing:
            self._report_gap(point, missing)

    async def _read(self, consumer: AIOKafkaConsumer, topic: Topic) -> None:
        batches = await consumer.getmany(timeout_ms=_POLL_MILLISECONDS, max_records=_POLL_RECORDS)
        for records in batches.values():
            await self._publish(self._moving_along(records))
        for partition in topic.partitions:
            # Past commit markers, which take up offsets and are never delivered.
            self._place.move(partition.partition, await consumer.position(partition))
        self._moved.set()  # wakes those who wait now
        self._moved.clear()

    def _moving_along(self, records: Iterable[ConsumerRecord]) -> Iterator[ConsumerRecord]:
        """The same records; the follower is after each when it is yielded."""
        for record in records:
            self._place.move(record.partition, record.offset + 1)
            yield record
