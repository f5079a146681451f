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

log = logging.getLogger(__name__)

CHUNK_USERS = 500

# ARGV[1] is MessagePack of an array for each window, as `_described` makes it: ten arguments a window, its
# keys among them, would cost the worker twice as much. A window of a later offset is never overwritten.
_WRITE = """
for _, window in ipairs(cmsgpack.unpack(ARGV[1])) do
    local user, count, total, mean, offset, at = unpack(window, 1, 6)
    local hash, list = 'user:' .. user .. ':window', 'user:' .. user .. ':txn_amounts'
    if tonumber(offset) >= tonumber(redis.call('HGET', hash, 'last_offset') or -1) then
        redis.call('HSET', hash, 'count', count, 'sum', total, 'mean', mean, 'last_offset', offset,
            'updated_at', at)
        redis.call('DEL', list)
        redis.call('LPUSH', list, unpack(window, 7))
    end
end
"""

_ENCODE = msgspec.msgpack.Encoder().encode


class RedisWindows:
    """Writes windows. One never overwrites another of a later offset, so writes may be repeated."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_WRITE)
        self.refused = 0
        """How many Redis has not taken, for example because a key has another type."""

    async def write(self, windows: Mapping[str, Window]) -> None:
        """Write some; while Redis is away, try again with backoff."""
        if not windows:
            return
        encoded = _ENCODE([_described(*item) for item in windows.items()])
        try:
            await retried(lambda: self._script(args=[encoded]), _is_transient, what="Redis mirror")
        except ResponseError as error:
            await self._one_by_one(windows, error)

    async def write_all(self, windows: Iterable[tuple[str, Window]]) -> int:
        """Write many, at the pace that Redis takes them; how many there were."""
        count, remaining = 0, iter(windows)
        while chunk := dict(islice(remaining, CHUNK_USERS)):
            await self.write(chunk)
            count += len(chunk)
        return count

    async def _one_by_one(self, windows: Mapping[str, Window], error: ResponseError) -> None:
        """Find the window that Redis refuses, and leave it out."""
        if len(windows) > 1:
            for user, window in windows.items():
                await self.write({user: window})
            return
        if not self.refused:
            log.warning("Redis mirror: refused of %s: %s", *windows, error)
        self.refused += 1


def _is_transient(error: Exception) -> bool:
    return isinstance(error, REDIS.errors) and not isinstance(error, ResponseError)


def _described(user: str, window: Window) -> tuple[str | int, ...]:
    return (
        user,
        window.count,
        amount_text(window.total),
        amount_text(window.mean),
        str(window.last_offset),
        window.updated.isoformat(),
        *map(amount_text, window.amounts),
    )
