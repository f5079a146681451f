"""Step 7: each window mirrored in Redis, best effort.

Windows to be mirrored are kept by user, the newest only, and written by a task of its own: Redis being
slow or away delays nothing and loses only mirroring that `rebuild` makes good. A window never overwrites
one of a later offset, so writes may be repeated and come from a former owner of the partition.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stream_app.window import Window

logger = logging.getLogger(__name__)

CHUNK_USERS = 500
MOST_PENDING = 100_000
LAST_WRITES_SECONDS = 5
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0

# KEYS: a window's hash and its list of amounts, by turns. ARGV: six values a user, the last of them the
# amounts in hundredths. Redis sets their points: rendering twenty texts a window cost a fifth of the worker.
WRITE = """
local function money(hundredths)
    local digits = string.rep('0', 3 - #hundredths) .. hundredths
    return string.sub(digits, 1, -3) .. '.' .. string.sub(digits, -2)
end
for i = 1, #KEYS / 2 do
    local hash, list, at = KEYS[2 * i - 1], KEYS[2 * i], 6 * (i - 1)
    local offset = tonumber(redis.call('HGET', hash, 'last_offset') or -1)
    if tonumber(ARGV[at + 4]) >= offset then
        redis.call('HSET', hash, 'count', ARGV[at + 1], 'sum', money(ARGV[at + 2]),
            'mean', money(ARGV[at + 3]), 'last_offset', ARGV[at + 4], 'updated_at', ARGV[at + 5])
        redis.call('DEL', list)
        local amounts = {}
        for amount in string.gmatch(ARGV[at + 6], '[^ ]+') do amounts[#amounts + 1] = money(amount) end
        redis.call('RPUSH', list, unpack(amounts))
    end
end
"""


class RedisMirror:
    """The windows' mirror; its writing task runs from entering to leaving the context."""

    def __init__(self, redis: Redis) -> None:
        self._write = redis.register_script(WRITE)
        self._writer: asyncio.Task[None] | None = None
        self._pending: dict[str, Window] = {}
        self._arrived = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self.dropped = 0

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

    def put(self, windows: Mapping[str, Window]) -> None:
        """Take note of windows; beyond the bound on pending users, new ones are dropped and counted."""
        room = MOST_PENDING - len(self._pending)
        if len(windows) > room:
            known = {user: window for user, window in windows.items() if user in self._pending}
            self._drop(len(windows) - len(known), "too many are waiting")
            windows = known
        if windows:
            self._pending.update(windows)
            self._arrived.set()
            self._written.clear()

    def _drop(self, count: int, why: str) -> None:
        if count and not self.dropped:
            logger.warning(
                "Redis mirror: windows left out, since %s; `txnwatch mirror rebuild` mends it", why
            )
        self.dropped += count

    async def rebuild(self, windows: Iterable[tuple[str, Window]]) -> int:
        """Mirror all windows given, at the pace that Redis takes them; how many there were."""
        count, remaining = 0, iter(windows)
        while chunk := dict(islice(remaining, CHUNK_USERS)):
            await self.flush()
            # What is pending already is newer than what the table gave.
            self.put({user: window for user, window in chunk.items() if user not in self._pending})
            count += len(chunk)
        return count

    async def flush(self) -> None:
        """Wait until nothing is pending."""
        await self._written.wait()

    async def _write_forever(self) -> None:
        """Write what is pending, chunk by chunk; while Redis is away, try again with backoff."""
        delay, most = FIRST_DELAY, CHUNK_USERS
        while True:
            await self._arrived.wait()
            chunk = dict(islice(self._pending.items(), most))
            try:
                await self._write(list(_keys(chunk)), list(_values(chunk.values())))
            except ResponseError as error:
                # One of them is refused, a key of another type say: find it one by one, and leave it out.
                if len(chunk) > 1:
                    most = 1
                    continue
                self._drop(1, f"Redis refused one: {error}")
            except (RedisError, OSError) as error:
                logger.warning("Redis mirror: %s; trying again in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)
                continue
            delay, most = FIRST_DELAY, min(2 * most, CHUNK_USERS)
            self._forget(chunk)

    def _forget(self, written: Mapping[str, Window]) -> None:
        for user, window in written.items():
            if self._pending[user] is window:
                del self._pending[user]
        if not self._pending:
            self._arrived.clear()
            self._written.set()


def _keys(users: Iterable[str]) -> Iterator[str]:
    for user in users:
        yield f"user:{user}:window"
        yield f"user:{user}:txn_amounts"


def _values(windows: Iterable[Window]) -> Iterator[str | int]:
    for window in windows:
        yield from (window.count, window.total, window.mean, window.last_offset)
        yield datetime.fromtimestamp(window.updated_at / 1000, UTC).isoformat()
        yield " ".join(map(str, reversed(window.amounts)))
