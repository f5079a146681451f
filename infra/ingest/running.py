"""The loop of `txnwatch ingest`: fetch, convert, commit, until it is told to stop.

A transaction has what one fetch brought, and the offsets after it. What fails for a time is begun again from
the offsets of the last transaction, by a new member with new producers.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import TopicPartition, errors
from aiokafka.errors import IllegalOperation, KafkaError

from infra.ingest.converting import Converter
from infra.ingest.metrics import IngestCounts
from infra.ingest.ordering import Merged, Order, Sourced
from infra.ingest.output import IngestOutput
from infra.ingest.settings import Settings
from infra.ingest.source import ForeignTopics
from infra.runtime.background import cancel
from infra.runtime.group_transactions import LostMemberError
from infra.runtime.health import Works
from infra.runtime.kafka import is_transient
from infra.runtime.patience import KafkaSilentError, Patience
from infra.runtime.retry import Backoff, Outage, causes, in_a_line
from infra.runtime.shared_client import ClientPool

log = logging.getLogger(__name__)

_MOST = 20_000  # records in a transaction, but for those that came too late
# The transaction's outcome is not known, or the partitions are another's: the group's offsets tell.
_LOST = (
    LostMemberError,
    IllegalOperation,  # of a producer that was found fenced while it was being filled
    TimeoutError,
    errors.NoOffsetForPartitionError,  # of a partition that is new
    errors.ProducerFenced,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.InvalidTxnState,
    errors.OutOfOrderSequenceNumber,
)


class Ingest:
    """From the topics to the input topic."""

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        converter: Converter,
        order: Order,
        *,
        counts: IngestCounts,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._converter = converter
        self._counts = counts
        self._order = order
        self._patience = Patience("nothing was read from Kafka", settings.retry_seconds)
        self._outage = Outage("Kafka")
        self._source: ForeignTopics | None = None
        self._steps = 0
        self._in_hand: Sequence[Sourced] = ()
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; what is in flight then is finished.

        Raises:
            DeletedError: Records are deleted that were not read yet.
            KafkaSilentError: Kafka has not answered for `retry_seconds`.
            KafkaError: Kafka refuses for good.
        """
        backoff, self._stop = Backoff(0.1), stop

        def succeeded() -> None:
            backoff.reset()
            self._outage.over()

        while not stop.is_set():
            try:
                await self._session(stop, succeeded)
            except (KafkaError, OSError) as error:
                if isinstance(error, KafkaSilentError) or not _may_pass(error):
                    raise
                self._outage.failed(in_a_line(error), type(error).__name__)
                self._patience.check()
                self._counts.restarts.inc()
                await backoff.wait()

    def hindered(self) -> str:
        """What keeps it from its work, if anything."""
        if self._stop.is_set():
            return "Stopping."
        return "" if self._source is not None else "Starting."

    def work(self) -> Works:
        """How far it is, and what there is to do."""
        source = self._source
        left = sum(lag for _, lag, *_ in self.lags()) or int(source is not None and source.busy.locked())
        return {"records": (self._steps, left)}

    def lags(self) -> Iterable[tuple[TopicPartition, int, int, int, int]]:
        """Of each partition of ours what is not fetched, held back, fetched and waits, and not committed."""
        for one, lag, held_back, behind in () if self._source is None else self._source.lags():
            held = self._order.held(one)
            # Where nothing is left to do, what is not committed are marks of its producers' transactions.
            yield one, lag, held_back, held, behind if lag or held or self._in_hand else 0

    async def _session(self, stop: asyncio.Event, succeeded: Callable[[], None]) -> None:
        async with AsyncExitStack() as stack:
            clients = ClientPool(self._settings, "ingest-output")
            stack.push_async_callback(clients.close)
            output = await stack.enter_async_context(IngestOutput(self._settings, clients))
            merges = isinstance(self._order, Merged)
            source = await stack.enter_async_context(
                ForeignTopics(self._settings, self._topics, merges=merges)
            )
            self._source = source
            self._order.begin({})
            while not stop.is_set():
                await self._take_on(source, output)
                await self._fetch(source)
                while not stop.is_set() and (records := self._next(source)):
                    if not await _unless(stop, self._converter.prepare(one for _, one in records)):
                        return
                    await self._commit(source, output, records)
                    succeeded()

    async def _take_on(self, source: ForeignTopics, output: IngestOutput) -> None:
        """Begin with the partitions that a rebalance has brought, if one has."""
        if source.is_new:
            partitions = source.claim()
            await output.take_over(partitions)
            self._order.begin(await source.locate(partitions))
            self._counts.take_overs.inc()
            log.info("reads %s", ", ".join(_words(partitions)) or "nothing: others have all partitions")

    async def _fetch(self, source: ForeignTopics) -> None:
        fetched = await source.fetch(_MOST)
        if fetched or source.has_answered():
            self._patience.renew()
        self._steps += bool(fetched)
        self._patience.check()
        self._order.put(fetched)

    def _next(self, source: ForeignTopics) -> Sequence[Sourced]:
        records = () if source.is_new else self._order.take(source.reached(), _MOST)
        source.hold(self._order.full())
        self._in_hand = records
        return records

    async def _commit(self, source: ForeignTopics, output: IngestOutput, records: Sequence[Sourced]) -> None:
        async with source.busy:
            if source.is_new:
                return  # they are read again, by us or another
            converted = self._converter.convert(records)
            offsets = self._order.offsets()
            with self._counts.commit_seconds.time():
                await output.commit(converted, offsets, source.member)
            source.committed |= {one: its.offset for one, its in offsets.items()}
        self._steps += 1
        self._counts.count(len(records), converted.outcomes)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do the work, unless told to stop before it is done; whether it is done."""
    done, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([done, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not done.done():
        await cancel(done)
        return False
    done.result()
    return True


def _words(partitions: Iterable[TopicPartition]) -> Iterable[str]:
    return (f"{one.topic} {one.partition}" for one in partitions)


def _may_pass(error: Exception) -> bool:
    return is_transient(error) or any(isinstance(one, (*_LOST, OSError)) for one in causes(error))
