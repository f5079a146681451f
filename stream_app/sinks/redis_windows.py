"""Windows as Redis has them: for each user a hash, and the list of the last amounts, newest first."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from infra.runtime.redis import MIRROR_FORMAT, Keys, RedisSettings, concerns_all, foreign
from infra.runtime.retry import retried
from schemas.money import amount_text
from stream_app.window import Window

log = logging.getLogger(__name__)

CHUNK_USERS = 500

# ARGV[1] is MessagePack of an array for each window, as `_described` makes it: ten arguments a window, its
# keys among them, would cost the worker twice as much. A window of a later offset is never overwritten. The
# owner is looked at with each chunk: Redis may have been away when the worker started, or emptied since.
_WRITE = """
local prefix, owner, app, format = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local found = redis.call('HMGET', owner, 'app_id', 'format')
if (found[1] or app) ~= app or tonumber(found[2] or 0) > tonumber(format) then
    return found
elseif found[2] ~= format then
    redis.call('HSET', owner, 'app_id', app, 'format', format)
end
for _, window in ipairs(cmsgpack.unpack(ARGV[1])) do
    local user, count, total, mean, offset, at = unpack(window, 1, 6)
    local hash, list = prefix .. user .. ':window', prefix .. user .. ':txn_amounts'
    if tonumber(offset) >= tonumber(redis.call('HGET', hash, 'last_offset') or -1) then
        redis.call('HSET', hash, 'count', count, 'sum', total, 'mean', mean, 'last_offset', offset,
            'updated_at', at)
        redis.call('DEL', list)
        redis.call('LPUSH', list, unpack(window, 7))
    end
end
return false
"""

_ENCODE = msgspec.msgpack.Encoder().encode


KEEP_TRYING: Callable[..., Awaitable[Any]] = partial(retried, is_transient=concerns_all, what="Redis mirror")
"""Tries again with backoff while Redis takes no window at all, by whatever name it refuses."""


class RedisWindows:
    """Writes windows. One never overwrites another of a later offset, so writes may be repeated."""

    def __init__(
        self, redis: Redis, settings: RedisSettings, *, attempt: Callable[..., Awaitable[Any]] = KEEP_TRYING
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._attempt = attempt
        self._script = redis.register_script(_WRITE)
        prefix = settings.redis_prefix
        self._names = [f"{prefix}user:", Keys(prefix).owner, settings.app_id, str(MIRROR_FORMAT)]
        self.refused = 0
        """How many Redis has not taken, for example because a key has another type."""

    async def write(self, windows: Mapping[str, Window]) -> None:
        """Write some.

        Raises:
            ForeignMirrorError: The mirror is another app's.
            RedisError: Redis takes none, and `attempt` gave up.
        """
        if not windows:
            return
        encoded = _ENCODE([_described(*item) for item in windows.items()])
        try:
            await self._attempt(partial(self._run, encoded))
        except ResponseError as error:
            if concerns_all(error):
                raise
            await self._one_by_one(windows, error)

    async def write_all(self, windows: Iterable[tuple[str, Window]]) -> int:
        """Write many, at the pace that Redis takes them; how many there were."""
        count, remaining = 0, iter(windows)
        while chunk := dict(islice(remaining, CHUNK_USERS)):
            await self.write(chunk)
            count += len(chunk)
        return count

    async def _run(self, encoded: bytes) -> None:
        try:
            owner = await self._script(args=[encoded, *self._names])
        except ReadOnlyError:
            # The name may lead to the new primary by now, these connections never do.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise
        if owner and (problem := foreign(self._settings, *owner)):
            raise problem

    async def _one_by_one(self, windows: Mapping[str, Window], error: ResponseError) -> None:
        """Find the window that Redis refuses, and leave it out."""
        if len(windows) > 1:
            for user, window in windows.items():
                await self.write({user: window})
            return
        if not self.refused:
            log.warning("Redis mirror: refused of %s: %s", *windows, error)
        self.refused += 1


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
