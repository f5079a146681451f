"""One partition while it is ours: one batch or decision at a time, until it is closed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from infra.runtime.background import cancel
from infra.runtime.kafka import Records
from stream_app.batch import Batch, Lost, LostPartitionError
from stream_app.pipeline import Pipeline
from stream_app.state.decided.feed import ControlFeed
from stream_app.state.decided.partition import DecidedPartition
from stream_app.state.store import WindowStore, is_damage

log = logging.getLogger(__name__)

_FILLED_AT_ONCE = 500  # users, for whom a batch waits


@dataclass(slots=True)
class OwnedPartition:
    """A partition that is ours until it is closed, with at most one batch in flight."""

    partition: int
    pipeline: Pipeline
    decided: DecidedPartition
    next_offset: int
    """The source offset before which all is finished."""
    stored_up_to: int
    """The source offset before which Postgres had all rows when the partition was taken over."""
    store: WindowStore
    rejoin: Callable[[Lost], None]
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)
    _commits: int = 0
    _records: int = 0
    _in_flight: asyncio.Task[Any] | None = None
    _damaged: bool = False
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    _finished: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by a batch that was finished."""
    _cut_off: bool = False
    """Whether some work was begun and not finished: what came of it is the next owner's to see."""

    async def process(self, batch: Batch) -> bool:
        """Bring a batch through the pipeline; False when the partition has to be taken over again first."""
        self._in_flight = asyncio.current_task()
        try:
            async with self._one_at_a_time:
                if self._cut_off:
                    return False
                self._cut_off = True
                await self.pipeline.process(batch)
                self.next_offset, self._cut_off = batch.next_offset, False
                self._commits += 1
                self._records += len(batch.records)
        except Exception as error:  # noqa: BLE001 - all others are raised there
            self.give_up(error)
            return False
        finally:
            self._in_flight = None
            self._finished.set()
        return True

    async def decide(self, records: Records) -> None:
        """Apply decisions before the next batch, once what Postgres had of the last one was scored again.

        Postgres may be a batch ahead of Kafka: that one comes again, and is scored by what it was scored by.
        """
        self.decided.waiting = len(records)
        async with self._between_batches() as is_whole:
            if is_whole:
                if await self.decided.apply(records, self.next_offset):
                    self.pipeline = self.decided.deciding.within(self.pipeline)
                self.decided.waiting = 0

    async def fill(self) -> None:
        """Fill what decisions want to be known of users, as they come: a few between two batches."""
        filler = self.decided.filler
        while await filler.wanted.wait():
            until, users = filler.warmings[-1].seq, self.store.windows(self.partition)
            while some := [user for user, _ in islice(users, _FILLED_AT_ONCE)]:
                async with self._between_batches() as is_whole:
                    if not is_whole:
                        return
                    await filler.fill(self.store.load(self.partition, some))
            async with self._between_batches() as is_whole:
                if not is_whole:
                    return
                await filler.finish(until)

    @asynccontextmanager
    async def _between_batches(self) -> AsyncIterator[bool]:
        """Nothing else is done meanwhile; whether all before was finished, or else it is the next owner's."""
        while not self.is_replayed:
            self._finished.clear()
            await self._finished.wait()
        async with self._one_at_a_time:
            is_whole, self._cut_off = not self._cut_off, True
            yield is_whole
            self._cut_off = not is_whole

    @property
    def is_replayed(self) -> bool:
        """Whether Kafka has all that Postgres had when the partition was taken over."""
        return self.next_offset >= self.stored_up_to

    async def follow(self, feed: ControlFeed) -> None:
        """Apply decisions as they come."""
        async with aclosing(feed.coming(self.partition)) as fetches:
            await self.apply_all(fetches)

    async def apply_all(self, fetches: AsyncIterator[Records]) -> None:
        """Apply what these bring; no more once the partition has to be taken over again."""
        async for records in fetches:
            try:
                await self.decide(records)
            except Exception as error:  # noqa: BLE001 - all others are raised there
                self.give_up(error)
                return

    def figures(self) -> dict[str, float]:
        """How it is, in the numbers of its metrics."""
        return {
            "next_offset": self.next_offset,
            "commits": self._commits,
            "partition_records": self._records,
            "decision": self.decided.progress.seq,
            "decisions_applied": self.decided.applied,
            "decisions_waiting": self.decided.waiting,
            **self.store.figures(self.partition),
        }

    def give_up(self, error: Exception) -> None:
        """Have the partition taken over again where that helps; other errors are raised."""
        if isinstance(error, LostPartitionError):
            log.warning("%s; rejoining the group", error)
            self.rejoin(error.reason)
        elif is_damage(error):
            self.request_restore(error)
        else:
            raise error

    def request_restore(self, damage: Exception) -> None:
        """Have the partition taken over again, with all windows restored from the changelog."""
        log.warning("partition %d: windows are damaged: %s; rejoining the group", self.partition, damage)
        self._damaged = True
        self.rejoin(Lost.DAMAGED_WINDOWS)

    async def close(self) -> None:
        """Cancel the batch in flight, which the next owner replays; close in the reverse order of opening."""
        await cancel(self._in_flight)
        try:
            await self.resources.aclose()
        finally:
            if self._damaged:
                self.store.discard(self.partition)
