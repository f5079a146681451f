"""A user's current window, read from the worker's mirror of it in Redis."""

import asyncio

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.problems import Unavailable


class Stats(msgspec.Struct, frozen=True):
    """The window that this user's next transaction is scored against.

    Money is decimal text; `amounts` is newest first; `last_offset` is the source offset of the
    newest of them.
    """

    user_id: str
    count: int
    mean: str
    sum: str
    amounts: list[str]
    last_offset: int
    updated_at: str


class WindowMirror:
    """Reads `user:{id}:window` and `user:{id}:txn_amounts` as one moment shows them."""

    def __init__(self, redis: "Redis", *, seconds: float) -> None:
        self._redis = redis
        self._seconds = seconds

    async def of(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none; raises Unavailable."""
        try:
            async with asyncio.timeout(self._seconds), self._redis.pipeline(transaction=True) as both:
                both.hgetall(f"user:{user_id}:window")
                both.lrange(f"user:{user_id}:txn_amounts", 0, -1)
                window, amounts = await both.execute()
        except (RedisError, OSError) as error:
            raise Unavailable("redis", "Redis does not answer.") from error
        if not window:
            return None
        named = {name.decode(): value.decode() for name, value in window.items()}
        shown = {**named, "user_id": user_id, "amounts": [amount.decode() for amount in amounts]}
        try:
            return msgspec.convert(shown, Stats, strict=False)  # Redis holds numbers as text
        except msgspec.ValidationError as error:
            raise Unavailable(
                "redis", "The mirror in Redis cannot be read: run `txnwatch mirror rebuild`."
            ) from error

    async def check(self) -> None:
        """Returns when Redis answers."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._redis.ping()
        except (RedisError, OSError) as error:
            raise Unavailable("redis", "Redis does not answer.") from error
