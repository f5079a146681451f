"""The short-lived query cache in Redis: `query:{hash of all filters}`.

While Redis is away or slow, answers are computed as if there were no cache. After an error the cache is left
alone for a few seconds: otherwise every request would wait for it.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from api.settings import Settings
from infra.runtime.redis import Keys
from infra.runtime.retry import Outage
from infra.runtime.services import REDIS

Outcome = Literal["hit", "miss", "down"]
_ANSWER_SECONDS = 0.25
_REST_SECONDS = 5.0
_FORMAT = 1  # counts up when answers change: kept ones of a former version are then not found
_MOST_BYTES = 1 << 20
"""Several pages of 1,000 rows of usual length. Larger answers are not kept, to spare Redis's memory."""


@dataclass(slots=True)
class QueryCache:
    """Keeps answers for a few seconds under a hash of everything that they depend on; 0: not at all.

    The hash is keyed by the cursor key, since an answer holds a cursor: processes with another key never see
    it, nor does another installation (`app_id`) on the same Redis.
    """

    _redis: Redis
    _settings: Settings
    _: KW_ONLY
    key: bytes = field(repr=False)
    count: Callable[[Outcome], None]
    _rests_until: float = field(init=False, default=0.0)
    _outage: Outage = field(init=False, default_factory=partial(Outage, "query cache"))

    async def answer(
        self, question: Any, compute: Callable[[], Awaitable[bytes]], *, closed: bool = False
    ) -> bytes:
        """The kept answer to this question, or the computed one, which is then kept unless it is large.

        It is kept for longer where the range is `closed`: only late transactions still change it.
        """
        seconds = self._settings.query_cache_seconds
        if seconds <= 0:
            return await compute()
        name = self._name(question)
        kept: bytes | None = await self._ask(lambda: self._redis.get(name))
        if kept is not None:
            self.count("hit")
            return kept
        self.count("miss" if self._up else "down")
        fresh = await compute()
        if closed:
            seconds = max(seconds, self._settings.query_cache_closed_seconds)
        if len(fresh) <= _MOST_BYTES:
            await self._ask(lambda: self._redis.set(name, fresh, px=max(int(seconds * 1000), 1)))
        return fresh

    def _name(self, question: Any) -> str:
        canonical = msgspec.json.encode([_FORMAT, self._settings.app_id, question], order="deterministic")
        return Keys(self._settings.redis_prefix).query(hmac.digest(self.key, canonical, hashlib.sha256).hex())

    @property
    def _up(self) -> bool:
        return time.monotonic() >= self._rests_until

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        if not self._up:
            return None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await command()
        except REDIS.errors as error:
            self._rests_until = time.monotonic() + _REST_SECONDS
            self._outage.failed(type(error).__name__)
            return None
        self._outage.over()
        return answer
