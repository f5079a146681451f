"""The live feed of one topic: one consumer for the whole process, however many clients.

The consumer runs while somebody listens. Every record is looked at once: its audience is found
by its key, its frame is made once and shared. How a client comes to the feed is in catch_up.py.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlencode

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from api.live.broker import Broker, Topic
from api.live.event_id import EARLIEST, EventId, Missing, settle, text_of
from api.live.frames import event, named_event
from api.live.listeners import Client, Frame, Listeners, Subscription
from api.live.replay import Replay, Slice
from api.web.problems import Unavailable
from infra.runtime.coalesced import Coalesced

log = logging.getLogger(__name__)

_POLL_MILLISECONDS = 500
_POLL_RECORDS = 500
_METADATA_MILLISECONDS = 30_000
"""How soon a partition that is added is noticed, at the latest."""
_AT_ONCE = 2000
"""Frames that are written before others get their turn."""
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0
_AHEAD = timedelta(days=1)
"""How far ahead of now transactions are dated at the most, as the worker has it by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How feeds and their streams behave in time and memory."""

    heartbeat_seconds: float
    send_seconds: float
    buffer_bytes: int
    retry_milliseconds: int
    linger_seconds: float
    start_seconds: float


class Feed:
    """Follows one topic from its end, and survives Kafka's absence without losing its place."""

    def __init__(
        self,
        topic: str,
        broker: Broker,
        replay: Replay,
        pace: Pace,
        *,
        pages: str,
        count_sent: Callable[[int], None],
    ) -> None:
        self.name = topic
        self._pages = pages
        self.listeners = 0
        self._broker = broker
        self._replay = replay
        self.pace = pace
        self._count_sent = count_sent
        self._audience = Listeners()
        self._left_at = 0.0
        self._failures = 0
        self._wanted = asyncio.Event()
        self._live = asyncio.Event()
        self._moved = asyncio.Event()
        self._ends = Coalesced(partial(broker.ends, topic))
        self._bounds = Coalesced(self._ask_bounds)
        self._known: Topic | None = None
        self._offsets: dict[int, int] = {}

    # --- The consumer ------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The feed can be listened to while inside."""
        task = asyncio.create_task(self._run(), name=f"feed of {self.name}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        """Follows the topic whenever there are listeners; an outage is logged once."""
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except (Unavailable, KafkaError, OSError) as error:
                if self._failures == 0:
                    log.warning("feed of %s is without Kafka: %s", self.name, type(error).__name__)
            except Exception:
                log.exception("feed of %s failed, and starts again", self.name)
            else:
                continue
            await asyncio.sleep(min(_FIRST_DELAY * 2 ** min(self._failures, 10), _LONGEST_DELAY))
            self._failures += 1

    async def _follow(self) -> None:
        topic = await self._broker.topic(self.name)
        consumer = self._broker.consumer(
            wait_milliseconds=_POLL_MILLISECONDS, metadata_milliseconds=_METADATA_MILLISECONDS
        )
        await self._broker.start(consumer.start, consumer.stop)
        try:
            await self._place(topic)
            consumer.assign(topic.partitions)
            for partition in topic.partitions:
                consumer.seek(partition, self._offsets[partition.partition])
            self._live.set()
            while self._is_wanted():
                if _partitions(consumer, topic) != topic.partitions:
                    await asyncio.sleep(_FIRST_DELAY)  # until all brokers know of it
                    return
                batches = await consumer.getmany(timeout_ms=_POLL_MILLISECONDS, max_records=_POLL_RECORDS)
                for records in batches.values():
                    await self._publish(records)
                await self._step_over_markers(consumer, topic.partitions)
                self._failures = 0
                await asyncio.sleep(0)  # a full prefetch buffer would never let others run
            self._forget()
        finally:
            await consumer.stop()

    def _is_wanted(self) -> bool:
        return self.listeners > 0 or time.monotonic() - self._left_at < self.pace.linger_seconds

    def _forget(self) -> None:
        self._live.clear()
        self._wanted.clear()
        self._known = None
        self._offsets = {}

    async def _place(self, topic: Topic) -> None:
        """Sets where to read from: the end at first, else where it was, telling everyone of a gap."""
        ends = await self._broker.ends(self.name)
        if self._known is None:
            self._known, self._offsets = topic, ends
            return
        beginnings = await self._broker.beginnings(self.name)
        point, missing = settle(self.point, topic.incarnation, beginnings, ends)
        self._known, self._offsets = topic, dict(point.offsets)
        if missing:
            for subscription in self._audience.everyone():
                self._send([subscription], Frame(self.gap(point, missing, subscription.key)))

    async def _publish(self, records: Iterable[ConsumerRecord]) -> None:
        """Tells everyone concerned.

        Now and then others get their turn, so that a large batch neither holds them up nor
        overflows by itself a client that reads.
        """
        unsent, sent = 0, 0
        for record in records:
            self._offsets[record.partition] = record.offset + 1
            audience = self._audience.of(record.key)
            if not audience or record.value is None:
                continue
            frame = Frame(event(record.value, text_of(self.topic.incarnation, self._offsets)))
            self._send(audience, frame)
            unsent, sent = unsent + len(frame.raw), sent + len(audience)
            if unsent > self.pace.buffer_bytes // 4 or sent > _AT_ONCE:
                await asyncio.sleep(0)
                unsent, sent = 0, 0

    def _send(self, audience: Iterable[Subscription], frame: Frame) -> None:
        sent = 0
        for subscription in audience:
            if subscription.push(frame):
                sent += 1
            else:
                self._audience.discard(subscription)
        self._count_sent(sent)

    async def _step_over_markers(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
    ) -> None:
        """Commit markers take up offsets and are never delivered: the position tells of them."""
        for partition in partitions:
            self._offsets[partition.partition] = await consumer.position(partition)
        self._moved.set()  # wakes who waits now
        self._moved.clear()

    @property
    def topic(self) -> Topic:
        """What is followed; raises Unavailable before the feed has started."""
        if self._known is None:
            raise Unavailable("kafka", "Kafka does not answer.")
        return self._known

    @property
    def point(self) -> EventId:
        """Where the feed stands."""
        return EventId(self.topic.incarnation, dict(self._offsets))

    # --- The clients -------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """The feed follows its topic while inside; raises Unavailable when Kafka does not answer."""
        self.listeners += 1
        self._wanted.set()
        try:
            await self._started()
            yield
        finally:
            self.listeners -= 1
            self._left_at = time.monotonic()

    async def _started(self) -> None:
        await self._ends.answer()
        try:
            async with asyncio.timeout(self.pace.start_seconds):
                await self._live.wait()
        except TimeoutError:
            raise Unavailable("kafka", "Kafka does not answer.") from None

    def joined(self, key: bytes | None, client: Client) -> AbstractContextManager[Subscription]:
        """What is new is written to the client while inside, or waits until its subscription is taken."""
        return self._audience.joined(Subscription(key, client))

    async def past(self, point: EventId, until: EventId, key: bytes | None) -> Slice:
        """Some of what lies between; raises Expired where Kafka no longer has it."""
        return await self._replay.read(self.topic, point, until, key)

    async def moves(self) -> bool:
        """Waits until the feed has moved; False when it has not for as long as a heartbeat."""
        try:
            async with asyncio.timeout(self.pace.heartbeat_seconds):
                return await self._moved.wait()
        except TimeoutError:
            return False

    async def settled(self, asked: EventId) -> tuple[EventId, list[Missing]]:
        """Where reading can go on from there, and what is missing before that."""
        beginnings, ends = await self._bounds.answer()
        if asked == EARLIEST:
            return EventId(self.topic.incarnation, beginnings), []
        # The feed may have read further since the ends were asked for.
        ends = {partition: max(end, self._offsets.get(partition, 0)) for partition, end in ends.items()}
        return settle(asked, self.topic.incarnation, beginnings, ends)

    async def _ask_bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """Where each partition begins and ends."""
        return await self._broker.beginnings(self.name), await self._broker.ends(self.name)

    def gap(self, point: EventId, missing: Sequence[Missing], key: bytes | None) -> bytes:
        """The frame that tells what is missing, and the query that has it.

        Offsets say nothing of dates, and late transactions are dated at any time before: so the
        range is open towards the past. Its pages come newest first, and can be left at the first known row.
        """
        query = {"user_id": key.decode()} if key else {}
        query |= {
            "from_date": "0001-01-01",
            "to_date": (datetime.now(UTC) + _AHEAD).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        data = {"topic": self.name, "missing": missing, "fetch": f"{self._pages}?{urlencode(query)}"}
        return named_event("gap", data, str(point))


def _partitions(consumer: AIOKafkaConsumer, topic: Topic) -> tuple[TopicPartition, ...]:
    """Those that the topic has by now."""
    numbers = consumer.partitions_for_topic(topic.name)
    return tuple(TopicPartition(topic.name, number) for number in sorted(numbers or ())) or topic.partitions
