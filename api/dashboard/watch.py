"""The state of the whole: rates, lag, flags and refused messages, looked at once a second for all.

Looking costs a few small requests to Kafka, however much flows: transactions are counted by offsets,
and only the topics of flags and of refused messages are read. It goes on while somebody asks, and
begins with what Kafka still knows of the last minutes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import chain
from typing import TypeAlias

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from api.dashboard.rates import Lag, OpenTransactions, Rates, Sample, lags, per_step
from api.dashboard.records import Refusals, RefusedPage, arrived_by, is_revision, produced
from api.dashboard.workers import WorkerGroup
from api.live.broker import Broker
from api.settings import Settings
from api.web.problems import Unavailable
from infra.runtime.background import OnDemand, background
from infra.runtime.kafka import AWAY

_EACH_SECONDS = 1.0
_LONGEST_WAIT = 1.0
"""Before the next attempt while Kafka is away: a page waits only `dependency_seconds` for it, 3."""
_PAST_SECONDS = 300
_PAST_STEP_SECONDS = 5
_NEWEST_REFUSED = 10_000
_POLL_MILLISECONDS = 100
_LOOK_UP_MILLISECONDS = 50
_USUAL_TRANSACTION_MS = 5_000
_Read: TypeAlias = tuple[list[ConsumerRecord], list[ConsumerRecord]]
"""Flags, and refused messages."""


class PulsePage(msgspec.Struct, frozen=True):
    """The samples after the asked-for time, oldest first, and where each partition is now."""

    now: int
    samples: Sequence[Sample]
    partitions: Sequence[Lag]


class Watch:
    """Looks while somebody asks; answers are of the last look, and Unavailable without Kafka."""

    def __init__(self, broker: Broker, group: WorkerGroup, settings: Settings) -> None:
        self._broker = broker
        self._group = group
        self._settings = settings
        self._watching = OnDemand(
            "dashboard",
            self._watch,
            transient=(Unavailable, *AWAY),
            linger_seconds=settings.linger_seconds,
            longest_wait=_LONGEST_WAIT,
        )
        self._looking = asyncio.Event()
        self._rates, self._refusals = Rates(samples=_PAST_SECONDS), Refusals(complete=True)
        self._lags: list[Lag] = []
        self._open = OpenTransactions(usual_ms=_USUAL_TRANSACTION_MS)

    async def page(self, after: int) -> PulsePage:
        """The samples after this time."""
        await self._look()
        return PulsePage(_milliseconds(), self._rates.after(after), self._lags)

    async def refused(self) -> RefusedPage:
        """The refused messages."""
        await self._look()
        return self._refusals.page()

    async def _look(self) -> None:
        try:
            with self._watching.in_use():
                async with asyncio.timeout(self._settings.dependency_seconds):
                    await self._looking.wait()
        except TimeoutError:
            raise Unavailable("Kafka does not answer.") from None

    def running(self) -> AbstractAsyncContextManager[None]:
        """Questions are answered while the block runs."""
        return background(self._watching.run(), name="pulse")

    async def _watch(self) -> None:
        async with AsyncExitStack() as stack:
            topic = await self._broker.topic(self._settings.transactions_topic)
            source = await self._broker.paused_reader(topic, _LOOK_UP_MILLISECONDS)
            stack.push_async_callback(source.stop)
            consumer = await self._reader()
            stack.push_async_callback(consumer.stop)
            await self._remember(consumer, source)
            await self._locate()
            stack.callback(self._looking.clear)
            self._looking.set()
            while self._watching.wanted:
                self._watching.succeeded()
                flags, refused = await self._read_for(consumer, _EACH_SECONDS)
                newest = await produced(flags[-1], source, topic.name) if flags else None
                arrived, scored = await self._locate()
                self._rates.note(
                    _milliseconds(),
                    arrived,
                    scored,
                    flagged=len(flags),
                    refused=len(refused),
                    produced=newest,
                )

    async def _reader(self) -> AIOKafkaConsumer:
        """A consumer at the flags of the last minutes and at the newest refused messages."""
        since = _milliseconds() - _PAST_SECONDS * 1000
        anomalies = await self._broker.topic(self._settings.anomalies_topic)
        refused = await self._broker.topic(self._settings.dlq_topic)
        beginnings, ends = await self._broker.bounds(refused.name)
        each = _NEWEST_REFUSED // len(ends)
        newest = {number: max(beginnings[number], ends[number] - each) for number in ends}
        self._refusals = Refusals(complete=newest == beginnings)
        starts = {anomalies: await self._broker.at(anomalies.name, since), refused: newest}
        positions = {
            partition: offsets[partition.partition]
            for topic, offsets in starts.items()
            for partition in topic.partitions
        }
        return await self._broker.reader(positions, wait_milliseconds=500)

    async def _remember(self, consumer: AIOKafkaConsumer, source: AIOKafkaConsumer) -> None:
        """Begin the rates with the last minutes: arrivals by their timestamps, flags and refusals."""
        now = _milliseconds()
        newest_first = range(now, now - _PAST_SECONDS * 1000 - 1, -_PAST_STEP_SECONDS * 1000)
        seconds = self._settings.dependency_seconds / 3  # in all, the first answer has to come in that time
        totals = await arrived_by(source, newest_first, seconds=seconds)
        times = newest_first[: len(totals)][::-1]
        flagged, refused = [
            [0, *per_step(Counter(record.timestamp for record in records), times)][: len(times)]
            for records in await self._up_to_date(consumer)
        ]
        self._rates = Rates(samples=_PAST_SECONDS)
        for at, arrived, flags, refusals in zip(times, reversed(totals), flagged, refused, strict=True):
            self._rates.note(at, arrived, None, flagged=flags, refused=refusals)

    async def _up_to_date(self, consumer: AIOKafkaConsumer) -> _Read:
        """Read to the ends of now."""
        ends = await consumer.end_offsets(consumer.assignment())
        read: _Read = [], []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            self._take(await consumer.getmany(timeout_ms=_POLL_MILLISECONDS), read)
        return read

    async def _read_for(self, consumer: AIOKafkaConsumer, seconds: float) -> _Read:
        """What comes in this time."""
        until = time.monotonic() + seconds
        read: _Read = [], []
        while (left := until - time.monotonic()) > 0:
            self._take(await consumer.getmany(timeout_ms=int(left * 1000)), read)
            await asyncio.sleep(0)  # a full prefetch buffer would never let others run
        return read

    async def _locate(self) -> tuple[int, int]:
        """Note where each partition is; the sums of the offsets that arrived and that were finished."""
        topic = self._settings.transactions_topic
        beginnings, ends = await self._broker.bounds(topic)
        held = self._open.held(_milliseconds(), ends, await self._broker.highwaters(topic))
        self._lags = lags(ends, await self._group.committed(), beginnings, held)
        return sum(ends.values()), sum(lag.committed for lag in self._lags)

    def _take(self, batches: Mapping[object, Iterable[ConsumerRecord]], read: _Read) -> None:
        """Add what was read, and count the refused messages by reason."""
        flags, refused = read
        for record in chain.from_iterable(batches.values()):
            if record.topic == self._settings.dlq_topic:
                self._refusals.add(record)
                refused.append(record)
            elif record.value is not None and not is_revision(record):
                flags.append(record)


def _milliseconds() -> int:
    return int(time.time() * 1000)
