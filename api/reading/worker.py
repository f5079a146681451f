"""What the worker knows: a user's window, from its mirror in Redis or from its web views, and its rule."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from redis.asyncio import Redis

from api.settings import Settings
from api.web.problems import Unavailable
from infra.runtime.redis import ForeignMirrorError, Keys, check_owner, foreign
from infra.runtime.services import REDIS
from schemas.rule import Rule
from schemas.window_view import FlagStarts, Stats

T = TypeVar("T")


class WorkerView:
    """Any worker; for a window it asks the one that has the user.

    Raises:
        Unavailable: No worker answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.worker_url.rstrip("/")
        self._timeout = ClientTimeout(total=settings.dependency_seconds)
        self._headers = settings.web_headers

    async def window(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none."""
        # The view of a worker of a former version has no user_id.
        return await self._get(f"table/windows/{user_id}/", Stats, user_id=user_id)

    async def flags_from(self, user_id: str, currency: str) -> FlagStarts | None:
        """Where the user's flags start in a currency, None for a user without a window."""
        return await self._get(f"flags_from/{user_id}/?currency={currency}", FlagStarts)

    async def rule(self) -> Rule:
        """The rule that the worker runs."""
        if (rule := await self._get("detector/", Rule)) is None:
            raise Unavailable("The worker is of a version that does not say which rule it runs.")
        return rule

    async def _get(self, path: str, kind: type[T], **known: str) -> T | None:
        """The view's JSON, with what is `known` where it lacks that; None where there is no view."""
        try:
            async with (
                ClientSession(timeout=self._timeout, headers=self._headers, trust_env=False) as session,
                session.get(f"{self._url}/{path}") as response,
            ):
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                response.raise_for_status()
                view = msgspec.json.decode(await response.read(), type=dict[str, Any])
                return msgspec.convert(known | view, kind)
        except (ClientError, OSError, msgspec.MsgspecError) as error:
            raise Unavailable("No worker answers.") from error


@dataclass(frozen=True, slots=True)
class WindowReader:
    """Reads windows from the worker's mirror in Redis, and while Redis is away from a worker's web view."""

    _redis: Redis
    _worker: WorkerView
    _settings: Settings

    async def of(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none.

        Raises:
            Unavailable: Neither Redis nor a worker answers.
        """
        try:
            return await self._mirrored(user_id)
        except Unavailable:
            with suppress(Unavailable):
                return await self._worker.window(user_id)
            raise

    async def check(self) -> None:
        """Return when Redis answers; raise Unavailable if it does not, or has another app's windows."""
        async with self._asking():
            await check_owner(self._redis, self._settings)

    async def _mirrored(self, user_id: str) -> Stats | None:
        """`user:{id}:window` and `user:{id}:txn_amounts` at one moment."""
        keys = Keys(self._settings.redis_prefix)
        async with self._asking(), self._redis.pipeline(transaction=True) as together:
            together.hmget(keys.owner, "app_id", "format")
            together.hgetall(keys.window(user_id))
            together.lrange(keys.amounts(user_id), 0, -1)
            owner, window, amounts = await together.execute()
            if problem := foreign(self._settings, *owner):
                raise problem
        if not window:
            return None
        currencies = window.pop(b"currencies", b"").decode().split()
        return _stats(user_id, window, amounts, await self._by_currency(user_id, currencies))

    async def _by_currency(self, user_id: str, currencies: Sequence[str]) -> dict[str, Any]:
        """The windows of a user who has several currencies."""
        if not currencies:
            return {}
        keys, names = Keys(self._settings.redis_prefix), [f"{user_id}:{one}" for one in currencies]
        async with self._asking(), self._redis.pipeline(transaction=True) as together:
            for name in names:
                together.hgetall(keys.window(name))
                together.lrange(keys.amounts(name), 0, -1)
            found = await together.execute()
        windows = zip(currencies, found[::2], found[1::2], strict=True)
        return {currency: _shown(window, amounts) for currency, window, amounts in windows if window}

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.dependency_seconds):
                yield
        except ForeignMirrorError as error:
            raise Unavailable("The windows in Redis are not those of this app's worker.") from error
        except REDIS.errors as error:
            why = REDIS.reason(error)
            raise Unavailable(f"Redis does not answer{why and f': {why}'}.") from error


def _shown(window: Mapping[bytes, bytes], amounts: Sequence[bytes]) -> dict[str, Any]:
    named: dict[str, Any] = {name.decode(): value.decode() for name, value in window.items()}
    return {**named, "amounts": [amount.decode() for amount in amounts]}


def _stats(
    user_id: str, window: Mapping[bytes, bytes], amounts: Sequence[bytes], currencies: dict[str, Any]
) -> Stats:
    shown = {**_shown(window, amounts), "user_id": user_id, "currencies": currencies}
    try:
        return msgspec.convert(shown, Stats, strict=False)  # Redis holds numbers as text
    except msgspec.ValidationError as error:
        raise Unavailable("The mirror in Redis cannot be read: run `txnwatch mirror rebuild`.") from error
