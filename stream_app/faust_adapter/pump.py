"""A loop per partition that fetches a batch, has it processed, and only then fetches the next.

Plain asyncio over what is needed of aiokafka's consumer; nothing of Faust.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.batch import Record

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
    process: Callable[[Sequence[Record]], Awaitable[bool]],
) -> NoReturn:
    """Fetch a batch, wait until `process` is done with it, and so on until cancelled.

    After a batch that was not finished (`process` gives False) nothing more is fetched: the partition was
    lost, and the rebalance that was requested then cancels this pump.
    """
    clock = asyncio.get_running_loop().time
    while True:
        fetched = await consumer.getmany(source, timeout_ms=_POLL_MS, max_records=batch_size)
        if not (records := fetched.get(source)):
            continue
        began = clock()
        backlog = (consumer.last_stable_offset(source) or 0) - records[-1].offset - 1
        if is_small := backlog < SMALL_BACKLOG:
            consumer.pause(source)  # after a rebalance in the middle of the batch, nothing is paused
        if not await process(records):
            await asyncio.get_running_loop().create_future()
        if is_small:
            await asyncio.sleep(began + _INTERVAL_SECONDS - clock())
            consumer.resume(source)


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
