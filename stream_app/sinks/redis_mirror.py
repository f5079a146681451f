"""Step 7: each window mirrored in Redis, best effort.

Whose windows have changed is noted, and tasks of their own read and write them: Redis being slow or away
delays nothing. What is too much to be noted is found again in the partition's windows, by their offsets.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import NamedTuple, NoReturn, Self

from stream_app.sinks.redis_windows import CHUNK_USERS, RedisWindows
from stream_app.window import Window

logger = logging.getLogger(__name__)

MOST_PENDING = 100_000
MOST_DETACHED = 20_000
LAST_WRITES_SECONDS = 5
# After a batch that changed so many windows, writing rests for some times as long as it took: what the
# pipeline is behind with goes first, and several changes of a window become one.
MANY_USERS, MANY_SECONDS = 1_000, 1.0
REST = 30

Load = Callable[[int, Iterable[str]], dict[str, Window]]


class Owed(NamedTuple):
    """What Redis lacks of a user's window: what has joined since the window had this offset."""

    partition: int
    read_offset: int
    joined: int


class RedisMirror:
    """The windows' mirror; its writing task runs from entering to leaving the context.

    `load` gives windows by partition and users, as they were committed last.
    """

    def __init__(self, redis: RedisWindows, load: Load) -> None:
        self._redis = redis
        self._load = load
        self._writer: asyncio.Task[None] | None = None
        self._pending: dict[str, Owed] = {}
        self._detached: dict[str, Window] = {}
        self._arrived = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._missed: defaultdict[int, asyncio.Future[int]] = defaultdict(asyncio.Future)
        self._behind_until = 0.0

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_forever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is pending, for a bounded time, and end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.flush(), LAST_WRITES_SECONDS)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def put(self, partition: int, windows: Mapping[str, Window]) -> None:
        """Take note of changed windows; of users beyond the bound, that the partition has some."""
        pending = self._pending
        room = MOST_PENDING - len(pending)
        missed = []
        for user, window in windows.items():
            if (owed := pending.get(user)) and owed.partition == partition:
                pending[user] = Owed(partition, owed.read_offset, owed.joined + window.joined)
            elif room:
                pending[user] = Owed(partition, window.read_offset, window.joined)
                room -= 1
            else:
                missed.append(window.last_offset)
        if missed and not (found := self._missed[partition]).done():
            found.set_result(min(missed))
        if len(windows) > MANY_USERS:
            self._behind_until = time.monotonic() + MANY_SECONDS
        if pending:
            self._arrived.set()
            self._written.clear()

    def detach(self, partition: int) -> None:
        """Read what a partition owes, since its windows are about to be closed.

        What is too much to be kept is left to the partition's next owner, who mirrors all of its windows.
        """
        users = [user for user, owed in self._pending.items() if owed.partition == partition]
        room = MOST_DETACHED - len(self._detached)
        self._detached |= self._read(users[:room])
        for user in users[room:]:
            del self._pending[user]

    async def follow(self, partition: int, windows: Callable[[], Iterable[tuple[str, Window]]]) -> NoReturn:
        """Mirror all of a partition's windows, and those that `put` has missed when nothing else waits."""
        since = -1
        while True:
            missed = self._missed[partition] = asyncio.Future()
            remaining = iter(windows())
            began = time.monotonic()
            while some := [*islice(remaining, CHUNK_USERS)]:
                await self._redis.write({user: one for user, one in some if one.last_offset >= since})
                await self._rest(began)
                began = time.monotonic()
            since = await missed
            await self.flush()

    async def flush(self) -> None:
        """Wait until nothing is pending."""
        await self._written.wait()

    async def _write_forever(self) -> None:
        """Write what is pending, chunk by chunk."""
        while True:
            await self._arrived.wait()
            began = time.monotonic()
            try:
                await self._write_chunk()
            except Exception:
                logger.exception("Redis mirror: some windows were left out until they change again")
            await self._rest(began)
            if not (self._pending or self._detached):
                self._arrived.clear()
                self._written.set()

    async def _rest(self, began: float) -> None:
        """Give way to the pipeline, for no longer than it is known to be behind: Redis may have been away."""
        now = time.monotonic()
        await asyncio.sleep(max(0, min(REST * (now - began), self._behind_until - now)))

    async def _write_chunk(self) -> None:
        detached, self._detached = self._detached, {}
        await self._redis.write_all(detached.items())
        await self._redis.write(self._read(list(islice(self._pending, CHUNK_USERS))))

    def _read(self, users: Iterable[str]) -> dict[str, Window]:
        """These users' windows, each with all that Redis lacks of it; they no longer wait."""
        owed = {user: self._pending.pop(user) for user in users}
        partitions: dict[int, list[str]] = {}
        for user, one in owed.items():
            partitions.setdefault(one.partition, []).append(user)
        windows: dict[str, Window] = {}
        for partition, its in partitions.items():
            windows |= self._load_all(partition, its)
        for user, window in windows.items():
            _, window.read_offset, window.joined = owed[user]
        return windows

    def _load_all(self, partition: int, users: Iterable[str]) -> dict[str, Window]:
        """These users' windows; none where the database is damaged, or has been discarded because of that."""
        try:
            return self._load(partition, users)
        except Exception as error:  # noqa: BLE001 - the pipeline meets the same, and mends it by a take-over
            logger.warning("Redis mirror: partition %d left out, it cannot be read: %r", partition, error)
            return {}
