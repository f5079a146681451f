"""Which partitions are ours.

All of them are closed at every rebalance and those that the group then assigns are taken over again, also
those that we had: whether a generation was missed in between cannot be told from inside.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import NoReturn, TypeVar

from infra.runtime.background import cancel
from infra.runtime.kafka import AWAY, Cluster, TopicsError, is_transient
from infra.runtime.open_files import most_open_files
from infra.runtime.retry import retried
from stream_app.batch import Batch
from stream_app.settings import Settings
from stream_app.sinks.kafka import CommittedPosition
from stream_app.state.decided.deciding import Deciding
from stream_app.state.decided.partition import DecidedPartition
from stream_app.state.owned import OwnedPartition
from stream_app.state.topics import ChangedTopicsError, KnownTopics
from stream_app.takeover import TakeOver, end_if_cancelled

log = logging.getLogger(__name__)

T = TypeVar("T")

_WATCH_SECONDS = 5.0

# A partition's windows are 6 files at first and some more later; the rest are connections and libraries.
_FILES_OF_A_PARTITION = 10
_OTHER_FILES = 200


class Ownership:
    """The partitions of this worker. `check` gives the cluster once the topics are as they must be."""

    def __init__(
        self, settings: Settings, check: Callable[[], Awaitable[Cluster]], take_over: TakeOver
    ) -> None:
        self._settings = settings
        self._check = check
        self._take_over = take_over
        self._owned: dict[int, OwnedPartition] = {}
        self._acquiring: asyncio.Task[None] | None = None
        self._releases = 0
        self._topics: KnownTopics | None = None

    async def acquire(self, partitions: Collection[int]) -> bool:
        """Own these partitions, and only these; False when they were released again in the middle of it."""
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
        """Close all partitions; batches still in flight are cut off, to be replayed by the next owner."""
        self._releases += 1
        await self._close_all()

    async def process(self, batch: Batch) -> bool:
        """Bring a batch through its partition's pipeline; False when the partition is no longer ours."""
        owned = self._owned.get(batch.partition)
        return owned is not None and await owned.process(batch)

    async def watch_topics(self) -> NoReturn:
        """Compare the topics with those taken over every few seconds, until they are others.

        Kafka's group shares out again only when a client's metadata is renewed, up to five minutes later.

        Raises:
            ChangedTopicsError: They were made anew, or have another number of partitions.
            TopicsError: One is missing, or they do not fit together.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                await self._compare_topics()
            except (ChangedTopicsError, TopicsError):
                # Once, it may be the answer of a broker that is just starting.
                await asyncio.sleep(_WATCH_SECONDS)
                await self._compare_topics()

    async def _compare_topics(self) -> None:
        with suppress(*AWAY):
            KnownTopics.of(await self._check(), self._settings).after(self._topics)

    async def positions(self) -> Mapping[int, CommittedPosition]:
        """The group's position by partition, once its coordinator knows."""
        return await self._retried(self._take_over.positions)

    def stored_up_to(self, partition: int) -> int:
        """The source offset before which Postgres had all rows when the partition was taken over."""
        owned = self._owned.get(partition)
        return 0 if owned is None else owned.stored_up_to

    def deciding(self) -> Deciding:
        """What decides: by the newest decision that a partition of ours has applied."""
        newest = max(self.decided(), key=lambda one: one.progress.seq, default=None)
        return self._take_over.deciders.by_settings if newest is None else newest.deciding

    def decided(self) -> list[DecidedPartition]:
        """What our partitions have applied of the control log."""
        return [one.decided for one in self._owned.values()]

    def figures(self) -> dict[int, dict[str, float]]:
        """How our partitions are, in the numbers of their metrics."""
        return {partition: one.figures() for partition, one in self._owned.items()}

    async def _close_all(self) -> None:
        await cancel(self._acquiring)
        owned, self._owned = self._owned, {}
        await asyncio.gather(*(one.close() for one in owned.values()))
        await self._take_over.feed.stop()

    async def _acquire(self, partitions: Collection[int]) -> None:
        cluster, source = await self._retried(self._check), self._settings.transactions_topic
        if self._topics is None:
            _check_open_files(len(cluster.topics[source]))
        topics = self._topics = KnownTopics.of(cluster, self._settings)
        self._take_over.mirror.follow_topic(cluster.ids.get(source, source))
        await self._retried(partial(self._take_over.feed.start, partitions))
        end_if_cancelled()
        async with asyncio.TaskGroup() as group:
            for partition in partitions:
                group.create_task(self._open(partition, topics))

    async def _open(self, partition: int, topics: KnownTopics) -> None:
        began = time.monotonic()
        self._owned[partition] = await self._retried(partial(self._take_over.open, partition, topics))
        self._take_over.tell(time.monotonic() - began)

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await retried(attempt, is_transient, what="Kafka", within=self._settings.retry_seconds)


def _check_open_files(partitions: int) -> None:
    """Say so where this worker could not have all partitions: it ends with an error once it gets too many."""
    limit, needed = most_open_files(), _OTHER_FILES + _FILES_OF_A_PARTITION * partitions
    if limit < needed:
        log.warning(
            "%d files may be open here (ulimit -n), which is enough for about %d of the %d partitions; "
            "a worker that has all of them needs %d",
            limit,
            max(0, limit - _OTHER_FILES) // _FILES_OF_A_PARTITION,
            partitions,
            needed,
        )
