"""A user's current window: from the worker's mirror of it in Redis, else from the worker itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from redis.asyncio import Redis

from api.reading.worker_view import WorkerView
from api.settings import Settings
from api.web.problems import Unavailable
from infra.runtime.services import REDIS
from schemas.window_view import Stats


class WindowReader:
    """Reads windows from the worker's mirror in Redis, and while Redis is away from a worker's web view."""

    def __init__(self, redis: "Redis", worker: WorkerView, settings: Settings) -> None:
        self._redis = redis
        self._worker = worker
        self._seconds = settings.dependency_seconds

    async def of(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none.

        Raises:
            Unavailable: Neither Redis nor a worker answers.
        """
        try:
            return await self._mirrored(user_id)
        except Unavailable as away:
            try:
                return await self._worker.window(user_id)
            except Unavailable:
                raise away from None

    async def check(self) -> None:
        """Return when Redis answers.

        Raises:
            Unavailable: It does not.
        """
        async with self._asking():
            await self._redis.ping()

    async def _mirrored(self, user_id: str) -> Stats | None:
        """`user:{id}:window` and `user:{id}:txn_amounts` at one moment."""
        async with self._asking(), self._redis.pipeline(transaction=True) as both:
            both.hgetall(f"user:{user_id}:window")
            both.lrange(f"user:{user_id}:txn_amounts", 0, -1)
            window, amounts = await both.execute()
        if not window:
            return None
        named = {name.decode(): value.decode() for name, value in window.items()}
        shown = {**named, "user_id": user_id, "amounts": [amount.decode() for amount in amounts]}
        try:
            return msgspec.convert(shown, Stats, strict=False)  # Redis holds numbers as text
        except msgspec.ValidationError as error:
            raise Unavailable("The mirror in Redis cannot be read: run `txnwatch mirror rebuild`.") from error

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except REDIS.errors as error:
            raise Unavailable("Redis does not answer.") from error
