"""A user's current window: from the worker's mirror of it in Redis, else from the worker itself."""

import asyncio
from http import HTTPStatus

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.web.problems import Unavailable


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


class WorkerView:
    """Reads a window from the web view of any worker; it asks the one that has the user."""

    def __init__(self, url: str, *, seconds: float) -> None:
        self._url = url.rstrip("/")
        self._timeout = ClientTimeout(total=seconds)

    async def of(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none; raises Unavailable."""
        try:
            async with (
                ClientSession(timeout=self._timeout, trust_env=False) as session,
                session.get(f"{self._url}/table/windows/{user_id}/") as response,
            ):
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                response.raise_for_status()
                shown = msgspec.json.decode(await response.read())
                return msgspec.convert({**shown, "user_id": user_id}, Stats)
        except (ClientError, OSError, TypeError, msgspec.MsgspecError) as error:
            raise Unavailable("worker", "Neither Redis nor a worker answers.") from error


class WindowReader:
    """The mirror, and the worker's view while Redis is away."""

    def __init__(self, mirror: WindowMirror, worker: WorkerView) -> None:
        self._mirror = mirror
        self._worker = worker

    async def of(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none; raises Unavailable."""
        try:
            return await self._mirror.of(user_id)
        except Unavailable as away:
            try:
                return await self._worker.of(user_id)
            except Unavailable:
                raise away from None
