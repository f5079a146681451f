"""Taking partitions over and giving them up, in the order that keeps a former owner's writes out.

Take-over, per partition: start the transactional producer (fences the former owner and aborts what it left
open), raise the epoch in Postgres, restore the windows from the changelog to its end. Only then does the
consumer go to the committed offset. A partition is closed at every rebalance and opened
anew by whoever gets it, so that there is one way in, whatever happened before.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

from stream_app.mirror import RedisMirror
from stream_app.outbox import KafkaOutbox
from stream_app.pipeline import Batch, LostPartitionError, Outbox, Pipeline
from stream_app.postgres import PostgresRows
from stream_app.restore import restore
from stream_app.settings import Settings
from stream_app.windows import WindowStore

logger = logging.getLogger(__name__)

MakePipeline = Callable[[int, Outbox], Pipeline]


@dataclass(slots=True)
class Owned:
    """A partition that is ours: its pipeline, what to close, and the batch under way."""

    pipeline: Pipeline
    resources: AsyncExitStack
    running: asyncio.Task[None] | None = None


class Ownership:
    """The partitions of this worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: WindowStore,
        rows: PostgresRows | None,
        mirror: RedisMirror | None,
        make_pipeline: MakePipeline,
        rejoin: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._rows = rows
        self._mirror = mirror
        self._make_pipeline = make_pipeline
        self._rejoin = rejoin
        self._owned: dict[int, Owned] = {}
        self._acquiring: asyncio.Future[list[None]] | None = None

    async def acquire(self, partitions: Iterable[int]) -> bool:
        """Open all partitions; False when they were released again meanwhile."""
        opening = self._acquiring = asyncio.gather(*map(self._open, partitions))
        await asyncio.wait([opening])
        if opening.cancelled():
            return False
        opening.result()
        return True

    async def release(self) -> None:
        """Close all partitions; batches still under way are cut off, to be replayed by the next owner."""
        if self._acquiring is not None:
            await _cancel(self._acquiring)
        owned, self._owned = self._owned, {}
        for partition in owned.values():
            if partition.running is not None:
                await _cancel(partition.running)
        await asyncio.gather(*(partition.resources.aclose() for partition in owned.values()))

    async def process(self, batch: Batch) -> bool:
        """Bring a batch through the pipeline; False when the partition is no longer ours."""
        owned = self._owned.get(batch.partition)
        if owned is None:
            return False
        owned.running = asyncio.current_task()
        try:
            await owned.pipeline.process(batch)
        except LostPartitionError as lost:
            logger.warning("%s; asking the group again", lost)
            self._rejoin()
            return False
        finally:
            owned.running = None
        return True

    async def _open(self, partition: int) -> None:
        async with AsyncExitStack() as stack:
            outbox = await stack.enter_async_context(KafkaOutbox(partition, self._settings))
            epoch, _ = (0, 0) if self._rows is None else await self._rows.take_over(partition)
            self._store.open(partition)
            stack.callback(self._store.close, partition)
            restored = await restore(self._store, partition, self._settings)
            if self._mirror is not None:
                stack.push_async_callback(_cancel, asyncio.create_task(self._rebuild_mirror(partition)))
            self._owned[partition] = Owned(self._make_pipeline(epoch, outbox), stack.pop_all())
        logger.info("partition %d: taken over, %d windows restored", partition, restored)

    async def _rebuild_mirror(self, partition: int) -> None:
        assert self._mirror is not None  # noqa: S101 - for the type checker
        await self._mirror.rebuild(self._store.windows(partition))


async def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait([task])
