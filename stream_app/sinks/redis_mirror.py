"""Step 7: each window mirrored in Redis, best effort.

A batch only notes whose windows changed; one task of its own reads those windows as they are then and writes
them whole. Redis being slow or away delays nothing, and several changes of a window become one write. Changes
beyond the bound are found again in the partition's windows, by their offsets.
"""

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import NoReturn, Self

from infra.runtime.background import background
from stream_app.sinks.redis_windows import CHUNK_USERS, Placed, RedisWindows
from stream_app.window import Window

log = logging.getLogger(__name__)

MOST_CHANGED = 100_000
_MOST_DETACHED = 20_000
_LAST_WRITES_SECONDS = 5
# After a batch that changed more than MANY_USERS windows the pipeline is behind. For the next second, sleep
# 30 times as long as each write took: with 1,000,000 users writing had cost a fifth of the throughput.
MANY_USERS, _BEHIND_SECONDS = 1_000, 1.0
_REST = 30
# After a write of less than a chunk, as long as between a partition's batches: each write costs 0.2 ms of the
# worker's processor time however small it is, and 200 small batches a second had one each.
_PAUSE = 0.02

Load = Callable[[int, Iterable[str]], dict[str, Window]]


class RedisMirror:
    """The windows' mirror. `load` gives windows by partition and users, as they were committed last."""

    def __init__(self, redis: RedisWindows, load: Load) -> None:
        self._redis = redis
        self._load = load
        self._changed: dict[str, tuple[int, float]] = {}
        """Partition and last change of each user whose window Redis lacks, who has waited longest first."""
        self._detached: dict[str, Placed] = {}
        self._arrived = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._missed: defaultdict[int, asyncio.Future[int]] = defaultdict(asyncio.Future)
        self._behind_until = 0.0
        self._in_flight = 0
        self._since = 0.0

    @property
    def waiting(self) -> int:
        """How many users' windows Redis lacks, those left out because they were too many not counted."""
        if self._written.is_set():
            return 0
        return len(self._changed) + len(self._detached) + self._in_flight

    @property
    def behind(self) -> float:
        """For how many seconds the first of them has been waiting, at least."""
        if self._written.is_set():
            return 0.0
        first = next(iter(self._changed.values()), (0, math.inf))[1]
        return max(0.0, time.monotonic() - min(first, self._since if self._in_flight else math.inf))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Write while the block runs, and at its end what is left, for a bounded time."""
        async with background(self._write_forever(), name="Redis mirror"):
            try:
                yield self
            finally:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.flush(), _LAST_WRITES_SECONDS)

    def follow_topic(self, topic_id: str) -> None:
        """Have windows named after the source topic of this id, whose offsets they have."""
        self._redis.topic_id = topic_id

    def put(self, partition: int, windows: Mapping[str, Window]) -> None:
        """Note whose windows changed; of users beyond the bound, the lowest of their offsets."""
        room, place = MOST_CHANGED - len(self._changed), (partition, time.monotonic())
        if len(windows) <= room:
            self._changed.update(dict.fromkeys(windows, place))
        else:
            new = [user for user in windows if user not in self._changed]
            self._changed.update(dict.fromkeys(new[:room], place))
            self._miss(partition, [windows[user].last_offset for user in new[room:]])
        if len(windows) > MANY_USERS:
            self._behind_until = time.monotonic() + _BEHIND_SECONDS
        if self._changed:
            self._arrived.set()
            self._written.clear()

    def detach(self, partition: int) -> None:
        """Read what Redis lacks of a partition, since its windows are about to be closed.

        What is too much to be kept is left to the partition's next owner, who mirrors all of its windows.
        """
        users = [user for user, (its, _) in self._changed.items() if its == partition]
        for user in users:
            del self._changed[user]
        self._detached |= self._read(partition, users[: _MOST_DETACHED - len(self._detached)])

    async def follow(self, partition: int, windows: Callable[[], Iterable[tuple[str, Window]]]) -> NoReturn:
        """Mirror all of a partition's windows, and those that `put` has missed when nothing else waits."""
        since = -1
        while True:
            missed = self._missed[partition] = asyncio.Future()
            remaining = iter(windows())
            began = time.monotonic()
            while some := [*islice(remaining, CHUNK_USERS)]:
                await self._redis.write(
                    {user: (partition, one) for user, one in some if one.last_offset >= since}
                )
                await self._rest(began)
                began = time.monotonic()
            since = await missed
            await self.flush()

    async def flush(self) -> None:
        """Wait until nothing is pending."""
        await self._written.wait()

    def _miss(self, partition: int, offsets: list[int]) -> None:
        if offsets and not (missed := self._missed[partition]).done():
            missed.set_result(min(offsets))

    async def _write_forever(self) -> None:
        """Write what is pending, chunk by chunk."""
        while True:
            await self._arrived.wait()
            began = time.monotonic()
            try:
                await self._redis.write_all(self._take().items())
            except Exception:
                log.exception("Redis mirror: some windows were left out until they change again")
            if not (self._changed or self._detached):
                self._arrived.clear()
                self._written.set()
            await self._rest(began, _PAUSE if len(self._changed) < CHUNK_USERS else 0)

    async def _rest(self, began: float, least: float = 0) -> None:
        """Give way to the pipeline, for no longer than it is known to be behind: Redis may have been away."""
        now = time.monotonic()
        await asyncio.sleep(max(least, min(_REST * (now - began), self._behind_until - now)))

    def _take(self) -> dict[str, Placed]:
        """The windows to be written next."""
        windows, self._detached = self._detached, {}
        self._since = time.monotonic()
        users: defaultdict[int, list[str]] = defaultdict(list)
        for user in [*islice(self._changed, CHUNK_USERS)]:
            partition, at = self._changed.pop(user)
            users[partition].append(user)
            self._since = min(self._since, at)
        for partition, its in users.items():
            windows |= self._read(partition, its)
        self._in_flight = len(windows)
        return windows

    def _read(self, partition: int, users: Iterable[str]) -> dict[str, Placed]:
        """These users' windows; none where the database is damaged, or has been discarded because of that."""
        try:
            return {user: (partition, window) for user, window in self._load(partition, users).items()}
        except Exception as error:  # noqa: BLE001 - the pipeline meets the same, and mends it by a take-over
            log.warning("Redis mirror: partition %d left out, it cannot be read: %r", partition, error)
            return {}
