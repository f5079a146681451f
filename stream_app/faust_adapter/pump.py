"""A loop per partition that fetches a batch, has it processed, and only then fetches the next.

Plain asyncio over what is needed of aiokafka's consumer; nothing of Faust.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.runtime.patience import Patience
from stream_app.batch import Record
from stream_app.faust_adapter.in_flight import InFlight

# With a smaller backlog a partition keeps up with its producers, and is quickest when it does less. It is
# paused during its batch: aiokafka would fetch the first one or two records ahead, those would make up the
# next batch, and all others wait for the one after. And its batches begin at most every 20 ms: each costs
# some 5 ms of processor time however small it is, so four partitions without a pause keep two cores busy and
# wait for each other (decision 27: 36 ms from producer to browser became 24).
SMALL_BACKLOG = 1_000
_INTERVAL_SECONDS = 0.02
_POLL_MS = 1000

P = TypeVar("P")


async def pump(
    consumer: AIOKafkaConsumer,
    source: TopicPartition,
    *,
    batch_size: int,
    in_flight: InFlight,
    patience: float,
    process: Callable[[Sequence[Record], int], Awaitable[bool]],
) -> NoReturn:
    """Fetch a batch, wait until `process` is done with it, and so on until cancelled.

    `process` gets the records and the consumer's position after them. After a batch that was not finished (it
    gives False) nothing more is fetched: the partition was lost, and the rebalance that was requested then
    cancels this pump.

    Raises:
        KafkaSilentError: No fetch has succeeded for `patience` seconds.
    """
    clock = asyncio.get_running_loop().time
    fetches = _Fetches(consumer, source, in_flight, batch_size, patience)
    position = await consumer.position(source)
    while True:
        async with fetches.after(position) as (records, position):
            began = clock()
            if is_small := fetches.backlog(position) < SMALL_BACKLOG:
                consumer.pause(source)  # after a rebalance in the middle of the batch, nothing is paused
            is_done = await process(records, position)
        if not is_done:
            await asyncio.get_running_loop().create_future()
        if is_small:
            await asyncio.sleep(began + _INTERVAL_SECONDS - clock())
            consumer.resume(source)


@dataclass(frozen=True, slots=True)
class _Fetches:
    """What comes next of a partition, once there is room for it beside what others have in flight."""

    consumer: AIOKafkaConsumer
    source: TopicPartition
    in_flight: InFlight
    batch_size: int
    patience: float

    @asynccontextmanager
    async def after(self, position: int) -> AsyncIterator[tuple[list[Record], int]]:
        """The records after this position, and the position after them; they are in flight during the block.

        There may be none: what moves the position alone (markers, aborted and compacted records) is passed
        over, at most once a poll.
        """
        records = await self._first(position)
        waiting = self.backlog(await self.consumer.position(self.source))
        async with self.in_flight.room(min(len(records) + waiting, self.batch_size)) as share:
            if share.records > 1:
                # What Kafka refuses here is raised when the next is fetched: first, the record is finished.
                with suppress(KafkaError):
                    records += await self._fetched(0, share.records - 1)
            share.take(len(records), sum([len(record.value or b"") for record in records]))
            yield records, await self.consumer.position(self.source)

    def backlog(self, position: int) -> int:
        """How many offsets can be read after this one, as far as is known."""
        return max(0, (self.consumer.last_stable_offset(self.source) or 0) - position)

    async def _first(self, position: int) -> list[Record]:
        """The next record, for which no room is kept while it is waited for: others may have it."""
        what = f"{self.source.topic} partition {self.source.partition}: no fetch from Kafka has succeeded"
        waits, fetched_at = Patience(what, self.patience), None
        while True:
            records = await self._fetched(_POLL_MS, 1)
            if await self.consumer.position(self.source) > position:
                return records
            if (last := self.consumer.last_poll_timestamp(self.source)) != fetched_at:
                fetched_at = last
                waits.renew()
            waits.check()

    async def _fetched(self, timeout_ms: int, most: int) -> list[Record]:
        fetched = await self.consumer.getmany(self.source, timeout_ms=timeout_ms, max_records=most)
        records: list[Record] = fetched.get(self.source, [])
        return records


class Pumps(Generic[P]):
    """A pump for each of the partitions that there are, stopped and started at every change of them."""

    def __init__(
        self, partitions: Callable[[], Collection[P]], pump: Callable[[P], Coroutine[Any, Any, NoReturn]]
    ) -> None:
        self._partitions = partitions
        self._pump = pump
        self._changed = asyncio.Event()

    def restart(self) -> None:
        """Cancel the pumps and start one for each partition that there is now."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def run(self) -> NoReturn:
        """Pump until cancelled; the first exception of a pump ends them all."""
        while True:
            changed = asyncio.create_task(self._changed.wait())
            pumps = [asyncio.create_task(self._pump(partition)) for partition in self._partitions()]
            try:
                done, _ = await asyncio.wait([changed, *pumps], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (changed, *pumps):
                    task.cancel()
                await asyncio.gather(changed, *pumps, return_exceptions=True)
