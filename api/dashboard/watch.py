"""The pulse of the whole: rates, lag, flags and refused messages, looked at once a second for all.

Looking costs a few small requests to Kafka, however much flows: transactions are counted by offsets,
and only the topics of flags and of refused messages are read. It goes on while somebody asks, and
begins with what Kafka still knows of the last minutes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from api.dashboard.answers import Lag, Produced, PulsePage, RefusedPage
from api.dashboard.produced_at import Origins
from api.dashboard.rates import Ledger, lags, per_step
from api.dashboard.refused import Refusals
from api.dashboard.workers import Group
from api.live.broker import Broker
from api.web.problems import Unavailable
from infra.runtime.background import OnDemand, background
from infra.runtime.kafka import AWAY

_EACH_SECONDS = 1.0
_PAST_SECONDS = 300
_PAST_STEP_SECONDS = 5
_NEWEST_REFUSED = 10_000
_POLL_MILLISECONDS = 100
_NO_KAFKA = "Kafka does not answer."


class _Identified(msgspec.Struct):
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The names of the topics that are looked at."""

    source: str
    anomalies: str
    refused: str


class Pulse:
    """Looks while somebody asks; every question is answered from the last look."""

    def __init__(
        self,
        broker: Broker,
        group: Group,
        topics: Topics,
        *,
        linger_seconds: float,
        start_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._broker = broker
        self._group = group
        self._topics = topics
        self._start_seconds = start_seconds
        self._now = now
        self._watching = OnDemand(
            "dashboard", self._watch, transient=(Unavailable, *AWAY), linger_seconds=linger_seconds
        )
        self._looking = asyncio.Event()
        self._ledger = Ledger(samples=_PAST_SECONDS)
        self._refusals = Refusals(complete=True)
        self._lags: list[Lag] = []

    # --- Answers -----------------------------------------------------------------------------

    async def page(self, after: int) -> PulsePage:
        """The samples after this time; raises Unavailable."""
        await self._look()
        return PulsePage(self._milliseconds(), self._ledger.after(after), self._lags)

    async def refused(self) -> RefusedPage:
        """The refused messages; raises Unavailable."""
        await self._look()
        return self._refusals.page()

    async def _look(self) -> None:
        try:
            with self._watching.in_use():
                async with asyncio.timeout(self._start_seconds):
                    await self._looking.wait()
        except TimeoutError:
            raise Unavailable("kafka", _NO_KAFKA) from None

    # --- Looking -----------------------------------------------------------------------------

    def running(self) -> AbstractAsyncContextManager[None]:
        """Questions are answered while the block runs."""
        return background(self._watching.run(), name="pulse")

    async def _watch(self) -> None:
        async with AsyncExitStack() as stack:
            origins = await Origins.of(self._broker, self._topics.source)
            stack.push_async_callback(origins.close)
            consumer = await self._reader()
            stack.push_async_callback(consumer.stop)
            await self._remember(consumer)
            await self._locate()
            stack.callback(self._looking.clear)
            self._looking.set()
            while self._watching.wanted:
                self._watching.succeeded()
                flags = await self._read_for(consumer, _EACH_SECONDS)
                produced = await self._produced(origins, flags)
                arrived, scored = await self._locate()
                self._ledger.note(
                    self._milliseconds(), arrived, scored, flagged=len(flags), produced=produced
                )

    async def _reader(self) -> AIOKafkaConsumer:
        """A consumer at the flags of the last minutes and at the newest refused messages."""
        since = self._milliseconds() - _PAST_SECONDS * 1000
        anomalies = await self._broker.topic(self._topics.anomalies)
        refused = await self._broker.topic(self._topics.refused)
        starts = {anomalies: await self._broker.at(anomalies.name, since)}
        beginnings = await self._broker.beginnings(refused.name)
        ends = await self._broker.ends(refused.name)
        each = _NEWEST_REFUSED // len(ends)
        starts[refused] = {number: max(beginnings[number], ends[number] - each) for number in ends}
        self._refusals = Refusals(complete=starts[refused] == beginnings)
        consumer = self._broker.consumer(wait_milliseconds=500)
        await self._broker.start(consumer.start, consumer.stop)
        consumer.assign([*anomalies.partitions, *refused.partitions])
        for topic, offsets in starts.items():
            for partition in topic.partitions:
                consumer.seek(partition, offsets[partition.partition])
        return consumer

    async def _remember(self, consumer: AIOKafkaConsumer) -> None:
        """Fills a new ledger with the last minutes: arrivals by the broker's index of times, and flags."""
        now = self._milliseconds()
        times = list(range(now - _PAST_SECONDS * 1000, now + 1, _PAST_STEP_SECONDS * 1000))
        found = await asyncio.gather(*(self._broker.at(self._topics.source, at) for at in times))
        totals = [sum(offsets.values()) for offsets in found]
        flags = await self._up_to_date(consumer)
        flagged = per_step(Counter(record.timestamp for record in flags), times)
        self._ledger = Ledger(samples=_PAST_SECONDS)
        for at, arrived, count in zip(times, totals, [0, *flagged], strict=True):
            self._ledger.note(at, arrived, None, flagged=count)

    async def _up_to_date(self, consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
        """Reads to the ends of now; the flags among it."""
        ends = await consumer.end_offsets(consumer.assignment())
        flags: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            flags += self._take(await consumer.getmany(timeout_ms=_POLL_MILLISECONDS))
        return flags

    async def _read_for(self, consumer: AIOKafkaConsumer, seconds: float) -> list[ConsumerRecord]:
        """The flags that come in this time."""
        until = time.monotonic() + seconds
        flags: list[ConsumerRecord] = []
        while (left := until - time.monotonic()) > 0:
            flags += self._take(await consumer.getmany(timeout_ms=int(left * 1000)))
            await asyncio.sleep(0)  # a full prefetch buffer would never let others run
        return flags

    async def _locate(self) -> tuple[int, int]:
        """Sets where each partition is; the sums of the offsets that arrived and that were finished."""
        ends = await self._broker.ends(self._topics.source)
        beginnings = await self._broker.beginnings(self._topics.source)
        self._lags = lags(ends, await self._group.committed(), beginnings)
        return sum(ends.values()), sum(lag.committed for lag in self._lags)

    def _take(self, batches: Mapping[object, Iterable[ConsumerRecord]]) -> list[ConsumerRecord]:
        """Counts the refused messages; the others are flags."""
        flags = []
        for records in batches.values():
            for record in records:
                if record.topic == self._topics.refused:
                    self._refusals.add(record)
                elif record.value is not None:
                    flags.append(record)
        return flags

    async def _produced(self, origins: Origins, flags: list[ConsumerRecord]) -> Produced | None:
        """When the newest of the flags was produced."""
        if not flags:
            return None
        at = await origins.produced_at(self._topics.source, flags[-1])
        try:
            identified = msgspec.json.decode(flags[-1].value, type=_Identified)
        except msgspec.DecodeError:
            return None
        return None if at is None else Produced(identified.id, at)

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)
