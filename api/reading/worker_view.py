"""What a worker's web views answer."""

from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from api.settings import Settings
from api.web.problems import Unavailable
from schemas.rule import Rule
from schemas.window_view import Stats

T = TypeVar("T")


class WorkerView:
    """Any worker; for a window it asks the one that has the user.

    Raises:
        Unavailable: No worker answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.worker_url.rstrip("/")
        self._timeout = ClientTimeout(total=settings.dependency_seconds)

    async def window(self, user_id: str) -> Stats | None:
        """The user's window, None if there is none."""
        return await self._get(f"table/windows/{user_id}/", Stats)

    async def rule(self) -> Rule:
        """The rule that the worker runs."""
        if (rule := await self._get("detector/", Rule)) is None:
            raise Unavailable("The worker is of a version that does not say which rule it runs.")
        return rule

    async def _get(self, path: str, kind: type[T]) -> T | None:
        """The view's JSON; None where it has none."""
        try:
            async with (
                ClientSession(timeout=self._timeout, trust_env=False) as session,
                session.get(f"{self._url}/{path}") as response,
            ):
                if response.status == HTTPStatus.NOT_FOUND:
                    return None
                response.raise_for_status()
                return msgspec.json.decode(await response.read(), type=kind)
        except (ClientError, OSError, msgspec.MsgspecError) as error:
            raise Unavailable("No worker answers.") from error
