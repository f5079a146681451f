"""One request for all who need its answer at the same time."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Coalesced(Generic[T]):
    """Coalesces concurrent calls into one request at a time.

    A call made during a request waits for the next one, so no answer predates its call by more than
    `max_age` seconds.
    """

    def __init__(self, request: Callable[[], Coroutine[Any, Any, T]], *, max_age: float = 0.0) -> None:
        self._request = request
        self._max_age = max_age
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None
        self._kept: tuple[float, T] | None = None

    async def answer(self) -> T:
        """The answer to a request begun after this call, or one that is young enough.

        An error is for all who wait for that request; a caller who leaves takes the answer from nobody.
        """
        if self._kept is not None and time.monotonic() - self._kept[0] < self._max_age:
            return self._kept[1]
        if self._next is None:
            self._next = asyncio.create_task(self._ask())
            # Without a look at the error, asyncio would report one that no caller is left to receive.
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._next)

    async def _ask(self) -> T:
        async with self._one_at_a_time:
            self._next = None
            began, answer = time.monotonic(), await self._request()
            self._kept = (began, answer)
            return answer
