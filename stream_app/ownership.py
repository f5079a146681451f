"""Taking partitions over and giving them up, in the order that keeps a former owner's writes out.

Take-over, per partition: raise the epoch in Postgres, start the transactional producer (fences the former
owner and aborts what it left open), restore the windows from the changelog to its end. Only then does the
consumer go to the committed offset. The epoch comes first: were it raised after the producers of two
owners that take over at once have started, the one that is fenced could have it, and write rows from windows
that the other's last transaction has outdated. A partition is closed at every rebalance and opened anew by
whoever gets it, so that there is one way in, whatever happened before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError

from infra.runtime.retry import causes, retried
from stream_app.committed_offsets import NOWHERE, Position, committed_positions
from stream_app.pipeline import Batch, LostPartitionError, Outbox, Pipeline
from stream_app.settings import Settings
from stream_app.sinks.kafka import KafkaOutbox
from stream_app.sinks.postgres import PostgresRows
from stream_app.sinks.redis_mirror import RedisMirror
from stream_app.state.changelog import Bounds, restore
from stream_app.state.store import WindowStore, is_damage

logger = logging.getLogger(__name__)

MakePipeline = Callable[[int, Outbox], Pipeline]
T = TypeVar("T")

CANCEL_SECONDS = 5


@dataclass(slots=True)
class Owned:
    """A partition that is ours: its pipeline, what to close, and the batch under way."""

    stored_up_to: int
    pipeline: Pipeline
    resources: AsyncExitStack
    running: asyncio.Task[None] | None = None


class Ownership:
    """The partitions of this worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        check: Callable[[], Awaitable[str]],
        store: WindowStore,
        rows: PostgresRows | None,
        mirror: RedisMirror | None,
        make_pipeline: MakePipeline,
        rejoin: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._check = check
        self._store = store
        self._rows = rows
        self._mirror = mirror
        self._make_pipeline = make_pipeline
        self._rejoin = rejoin
        self._owned: dict[int, Owned] = {}
        self._damaged: set[int] = set()
        self._acquiring: asyncio.Task[None] | None = None
        self._releases = 0

    async def acquire(self, partitions: Iterable[int]) -> bool:
        """Open these partitions, and only these; False when they were released again meanwhile."""
        releases = self._releases
        await self._close_all()
        if self._releases != releases:
            return False
        acquiring = self._acquiring = asyncio.create_task(self._acquire(partitions))
        await asyncio.wait([acquiring])
        if acquiring.cancelled():
            return False
        acquiring.result()
        return True

    async def release(self) -> None:
        """Close all partitions; batches still under way are cut off, to be replayed by the next owner."""
        self._releases += 1
        await self._close_all()

    async def positions(self) -> dict[int, Position]:
        """The group's position by partition, once its coordinator knows."""
        return await self._retried(partial(committed_positions, self._settings))

    def stored_up_to(self, partition: int) -> int:
        """The source offset before which Postgres had all rows when the partition was taken over."""
        owned = self._owned.get(partition)
        return 0 if owned is None else owned.stored_up_to

    async def _close_all(self) -> None:
        await _cancel(self._acquiring)
        owned, self._owned = self._owned, {}
        await asyncio.gather(*map(_close, owned.values()))

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
        except Exception as error:
            if not is_damage(error):
                raise
            self._have_restored(batch.partition, error)
            return False
        finally:
            owned.running = None
        return True

    async def _acquire(self, partitions: Iterable[int]) -> None:
        identity = f"{await self._retried(self._check)}/{self._settings.changelog_topic}"
        _end_if_cancelled()
        async with asyncio.TaskGroup() as group:
            for partition in partitions:
                group.create_task(self._retried(partial(self._open, partition, identity)))

    async def _open(self, partition: int, identity: str) -> None:
        async with AsyncExitStack() as stack:
            epoch, stored_up_to = (0, 0) if self._rows is None else await self._rows.take_over(partition)
            outbox = await stack.enter_async_context(KafkaOutbox(partition, self._settings))
            # From here on, no other owner commits.
            position = (await committed_positions(self._settings)).get(partition, NOWHERE)
            _end_if_cancelled()
            if self._rows is not None:
                self._rows.expect(partition, position.finished)
            bounds = Bounds(stored_up_to, -1 if position.changelog is None else position.changelog)
            stack.callback(self._close_windows, partition)
            restored = await self._restore(partition, identity, bounds)
            _end_if_cancelled()
            outbox.resume(self._store.changelog_offset(partition))
            if self._mirror is not None:
                stack.callback(self._mirror.detach, partition)
                following = asyncio.create_task(self._follow(self._mirror, partition))
                stack.push_async_callback(_cancel, following)
            pipeline = self._make_pipeline(epoch, outbox)
            self._owned[partition] = Owned(stored_up_to, pipeline, stack.pop_all())
        logger.info("partition %d: taken over, %d changes restored", partition, restored)

    async def _follow(self, mirror: RedisMirror, partition: int) -> None:
        """Mirror the partition's windows, which reads each of them once: damage may be seen here first."""
        try:
            await mirror.follow(partition, partial(self._store.windows, partition))
        except Exception as error:
            if is_damage(error):
                self._have_restored(partition, error)
            else:
                logger.exception("Redis mirror: partition %d is left until it is taken over next", partition)

    def _have_restored(self, partition: int, damage: Exception) -> None:
        """Have a partition taken over anew, with windows restored from the changelog alone."""
        logger.warning("partition %d: windows are damaged: %s; asking the group again", partition, damage)
        self._damaged.add(partition)
        self._rejoin()

    def _close_windows(self, partition: int) -> None:
        if partition in self._damaged:
            self._damaged.discard(partition)
            self._store.discard(partition)
        else:
            self._store.close(partition)

    async def _restore(self, partition: int, identity: str, bounds: Bounds) -> int:
        """Open the windows and bring them to the changelog's end, from its beginning if they are damaged."""
        try:
            self._store.open(partition, identity)
            return await restore(self._store, partition, self._settings, bounds)
        except Exception as error:
            if not is_damage(error):
                raise
            logger.warning("partition %d: restoring all windows, as they are damaged: %s", partition, error)
        self._store.discard(partition)
        self._store.open(partition, identity)
        return await restore(self._store, partition, self._settings, bounds)

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await retried(attempt, _passes, what="Kafka", within=self._settings.retry_seconds)


def _passes(error: Exception) -> bool:
    return any(
        isinstance(one, KafkaTimeoutError) or (isinstance(one, KafkaError) and one.retriable)
        for one in causes(error)
    )


def _end_if_cancelled() -> None:
    """A client of aiokafka swallows the cancellation that comes while it closes."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _close(owned: Owned) -> None:
    await _cancel(owned.running)
    await owned.resources.aclose()


async def _cancel(task: asyncio.Task[Any] | None) -> None:
    """Cancel the task and wait for its end, for a bounded time: what hangs on Kafka ends with its client."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)
