"""Windows as Redis has them: for each user a hash, and the list of the last amounts, newest first."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from infra.runtime.redis import MIRROR_FORMAT, Keys, RedisSettings, concerns_all, foreign
from infra.runtime.retry import retried
from schemas.masking import without_data
from schemas.money import amount_text
from stream_app.window import Window

log = logging.getLogger(__name__)

CHUNK_USERS = 500

# ARGV[1] is MessagePack of an array for each window, as `_described` makes it: ten arguments a window, its
# keys among them, would cost the worker twice as much. The owner is looked at with each chunk: Redis may have
# been away when the worker started, or emptied since.
#
# A window of a later offset is never overwritten. Offsets compare within one log alone, a partition of the
# topic of this id; between two partitions of it, as where some were added, times do. What is of another topic
# or has no log is overwritten, and counted.
_WRITE = """
local prefix, owner, app, format, topic = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6] .. '/'
local found = redis.call('HMGET', owner, 'app_id', 'format')
if (found[1] or app) ~= app or tonumber(found[2] or 0) > tonumber(format) then
    return found
elseif found[2] ~= format then
    redis.call('HSET', owner, 'app_id', app, 'format', format)
end
local others = 0
for _, window in ipairs(cmsgpack.unpack(ARGV[1])) do
    local user, partition, count, total, mean, offset, at, currencies = unpack(window, 1, 8)
    local hash, list = prefix .. user .. ':window', prefix .. user .. ':txn_amounts'
    local its = redis.call('HMGET', hash, 'last_offset', 'updated_at', 'log', 'format', 'currencies')
    local log, newer = topic .. partition, false
    if its[3] == log and its[4] == format then
        newer = tonumber(its[1] or -1) > tonumber(offset)
    elseif its[3] and string.sub(its[3], 1, #topic) == topic then
        newer = (its[2] or '') > at
    end
    if not newer then
        others = others + (its[1] and its[3] ~= log and 1 or 0)
        redis.call('HSET', hash, 'count', count, 'sum', total, 'mean', mean, 'last_offset', offset,
            'updated_at', at, 'log', log, 'format', format)
        if currencies ~= '' then
            redis.call('HSET', hash, 'currencies', currencies)
        elseif its[5] then
            redis.call('HDEL', hash, 'currencies')
        end
        redis.call('DEL', list)
        redis.call('LPUSH', list, unpack(window, 9))
    end
end
return others
"""

# Leaves what is no hash to whoever put it there.
_REMOVE = """
local topic, removed = ARGV[1] .. '/', 0
for _, hash in ipairs(KEYS) do
    local log = redis.pcall('HGET', hash, 'log')
    if not log or (type(log) == 'string' and string.sub(log, 1, #topic) ~= topic) then
        redis.call('DEL', hash, (string.gsub(hash, ':window$', ':txn_amounts')))
        removed = removed + 1
    end
end
return removed
"""

_REFUSED = "Redis mirror: a window of partition %d, as of offset %d, is refused (said once): %s"

Placed = tuple[int, Window]
"""A window, and the source partition that it is of."""

_ENCODE = msgspec.msgpack.Encoder().encode


KEEP_TRYING: Callable[..., Awaitable[Any]] = partial(retried, is_transient=concerns_all, what="Redis mirror")
"""Tries again with backoff while Redis takes no window at all, by whatever name it refuses."""


class RedisWindows:
    """Writes windows of the topic of this id, each under its user, with its partition.

    One never overwrites another of a later offset in the same partition, so writes may be repeated.
    """

    def __init__(
        self, redis: Redis, settings: RedisSettings, *, attempt: Callable[..., Awaitable[Any]] = KEEP_TRYING
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._attempt = attempt
        self._script = redis.register_script(_WRITE)
        prefix = settings.redis_prefix
        self._names = [f"{prefix}user:", Keys(prefix).owner, settings.app_id, str(MIRROR_FORMAT)]
        self.topic_id = ""
        self.refused = 0
        """How many Redis has not taken, for example because a key has another type."""
        self.of_other_logs = 0
        """How many it has overwritten that were another partition's, or of a topic that is gone."""

    async def write(self, windows: Mapping[str, Placed]) -> None:
        """Write some.

        Raises:
            ForeignMirrorError, RedisError: Redis takes none, and `attempt` gave up.
        """
        if not windows:
            return
        encoded = _ENCODE([line for user, placed in windows.items() for line in _described(user, *placed)])
        try:
            await self._attempt(partial(self._run, encoded))
        except ResponseError as error:
            if concerns_all(error):
                raise
            await self._one_by_one(windows, error)

    async def write_all(self, windows: Iterable[tuple[str, Placed]]) -> int:
        """Write many, at the pace that Redis takes them; how many there were."""
        count, remaining = 0, iter(windows)
        while chunk := dict(islice(remaining, CHUNK_USERS)):
            await self.write(chunk)
            count += len(chunk)
        return count

    async def remove_others(self) -> int:
        """Remove windows that are of no partition of the topic; how many there were."""
        remove, pattern = self._redis.register_script(_REMOVE), f"{self._settings.redis_prefix}user:*:window"
        cursor = count = 0
        while True:
            scan = partial(self._redis.scan, cursor, match=pattern, count=CHUNK_USERS)
            cursor, keys = await self._attempt(scan)
            if keys:
                count += await self._attempt(partial(remove, keys=keys, args=[self.topic_id]))
            if not cursor:
                return count

    async def _run(self, encoded: bytes) -> None:
        try:
            answer = await self._script(args=[encoded, *self._names, self.topic_id])
        except ReadOnlyError:
            # The name may lead to the new primary by now, these connections never do.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise
        if isinstance(answer, int):
            self.of_other_logs += answer
        elif problem := foreign(self._settings, *answer):
            raise problem

    async def _one_by_one(self, windows: Mapping[str, Placed], error: ResponseError) -> None:
        """Find the window that Redis refuses, and leave it out."""
        if len(windows) > 1:
            for user, window in windows.items():
                await self.write({user: window})
            return
        if not self.refused:
            [(partition, its)] = windows.values()
            log.warning(_REFUSED, partition, its.last_offset, without_data(str(error)))
        self.refused += 1


def _described(user: str, partition: int, window: Window) -> Iterator[tuple[str | int, ...]]:
    """The user's window, and where there are several currencies each one's, under `{user}:{currency}`."""
    by_currency = window.by_currency if window.others else {}
    named = {user: window, **{f"{user}:{currency}": its for currency, its in by_currency.items()}}
    for name, its in named.items():
        yield (
            name,
            partition,
            its.count,
            amount_text(its.total),
            amount_text(its.mean),
            str(window.last_offset),
            window.updated.isoformat(),
            " ".join(reversed(by_currency)) if its is window and name == user else "",
            *map(amount_text, its.amounts),
        )
