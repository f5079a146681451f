"""Step 7: each window mirrored in Redis, best effort.

Windows to be mirrored are kept by user, the newest only, and written by a task of its own: Redis being
slow or away delays nothing and loses only mirroring that `rebuild` makes good. A window never overwrites
one of a later offset, so writes may be repeated and come from a former owner of the partition.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Self

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from schemas.money import amount_text
from stream_app.window import Window

logger = logging.getLogger(__name__)

CHUNK_USERS = 500
MOST_PENDING = 100_000
LAST_WRITES_SECONDS = 5
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
# While more are waiting than are written at a time, writing rests for so many times as long as it took: what
# the pipeline is behind with goes first, and several windows of a user become one.
REST = 2

# ARGV[1] of both scripts: MessagePack of an array for each window, as `_described` makes it. Ten arguments a
# window, its keys among them, would cost the worker twice as much.

# Where Redis has the window as it was read, only what has joined since is pushed. Returns which of the
# windows it has otherwise.
FOLLOW = """
local others = {}
for number, window in ipairs(cmsgpack.unpack(ARGV[1])) do
    local user, read, count, total, mean, offset, at = unpack(window, 1, 7)
    local hash, list = 'user:' .. user .. ':window', 'user:' .. user .. ':txn_amounts'
    if (redis.call('HGET', hash, 'last_offset') or '-1') ~= read
            or redis.call('LPUSH', list, unpack(window, 8)) < count then
        others[#others + 1] = number
    else
        redis.call('HSET', hash, 'count', count, 'sum', total, 'mean', mean, 'last_offset', offset,
            'updated_at', at)
        redis.call('LTRIM', list, 0, count - 1)
    end
end
return others
"""
# All of each window, unless Redis has one of a later offset.
WRITE = """
for _, window in ipairs(cmsgpack.unpack(ARGV[1])) do
    local user, _, count, total, mean, offset, at = unpack(window, 1, 7)
    local hash, list = 'user:' .. user .. ':window', 'user:' .. user .. ':txn_amounts'
    if tonumber(offset) >= tonumber(redis.call('HGET', hash, 'last_offset') or -1) then
        redis.call('HSET', hash, 'count', count, 'sum', total, 'mean', mean, 'last_offset', offset,
            'updated_at', at)
        redis.call('DEL', list)
        redis.call('LPUSH', list, unpack(window, 8))
    end
end
"""

Described = tuple[str | int, ...]
_ENCODE = msgspec.msgpack.Encoder().encode


class RedisMirror:
    """The windows' mirror; its writing task runs from entering to leaving the context."""

    def __init__(self, redis: Redis) -> None:
        self._follow_script = redis.register_script(FOLLOW)
        self._write_script = redis.register_script(WRITE)
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
            for user, window in windows.items():
                if former := self._pending.get(user):
                    window.read_offset, window.joined = former.read_offset, former.joined + window.joined
                self._pending[user] = window
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
            chunk, began = dict(islice(self._pending.items(), most)), time.monotonic()
            try:
                await self._write(chunk)
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
            if MOST_PENDING / 2 > len(self._pending) > CHUNK_USERS:
                await asyncio.sleep(REST * (time.monotonic() - began))

    async def _write(self, windows: Mapping[str, Window]) -> None:
        others = {user: window for user, window in windows.items() if not 0 < window.joined <= window.count}
        follow = [(user, window) for user, window in windows.items() if user not in others]
        if follow:
            joined = [_described(user, window, window.newest(window.joined)) for user, window in follow]
            found = await self._follow_script(args=[_ENCODE(joined)])
            others.update(follow[number - 1] for number in found)
        if others:
            whole = [_described(user, window, window.amounts) for user, window in others.items()]
            await self._write_script(args=[_ENCODE(whole)])

    def _forget(self, written: Mapping[str, Window]) -> None:
        for user, window in written.items():
            if self._pending[user] is window:
                del self._pending[user]
        if not self._pending:
            self._arrived.clear()
            self._written.set()


def _described(user: str, window: Window, amounts: Iterable[int]) -> Described:
    return (
        user,
        str(window.read_offset),
        window.count,
        amount_text(window.total),
        amount_text(window.mean),
        str(window.last_offset),
        _time(window.updated_at),
        *map(amount_text, amounts),
    )


@lru_cache(maxsize=10_000)
def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
