"""Windows as Redis has them: for each user a hash, and the list of the last amounts, newest first."""

import logging
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from infra.runtime.retry import retried
from infra.runtime.services import REDIS
from schemas.money import amount_text
from stream_app.window import Window

logger = logging.getLogger(__name__)

CHUNK_USERS = 500

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


class RedisWindows:
    """Writes windows. One never overwrites another of a later offset, so writes may be repeated."""

    def __init__(self, redis: Redis) -> None:
        self._follow_script = redis.register_script(FOLLOW)
        self._write_script = redis.register_script(WRITE)
        self.refused = 0
        """How many Redis has not taken, because a key is of another type say."""

    async def write(self, windows: Mapping[str, Window]) -> None:
        """Write some; while Redis is away, try again with backoff."""
        try:
            await retried(lambda: self._write(windows), _is_transient, what="Redis mirror")
        except ResponseError as error:
            await self._one_by_one(windows, error)

    async def write_all(self, windows: Iterable[tuple[str, Window]]) -> int:
        """Write many, at the pace that Redis takes them; how many there were."""
        count, remaining = 0, iter(windows)
        while chunk := dict(islice(remaining, CHUNK_USERS)):
            await self.write(chunk)
            count += len(chunk)
        return count

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

    async def _one_by_one(self, windows: Mapping[str, Window], error: ResponseError) -> None:
        """Find the window that Redis refuses, and leave it out."""
        if len(windows) > 1:
            for user, window in windows.items():
                await self.write({user: window})
            return
        if not self.refused:
            logger.warning("Redis mirror: refused of %s: %s", *windows, error)
        self.refused += 1


def _is_transient(error: Exception) -> bool:
    return isinstance(error, REDIS.errors) and not isinstance(error, ResponseError)


def _described(user: str, window: Window, amounts: Iterable[int]) -> Described:
    return (
        user,
        str(window.read_offset),
        window.count,
        amount_text(window.total),
        amount_text(window.mean),
        str(window.last_offset),
        window.updated.isoformat(),
        *map(amount_text, amounts),
    )
