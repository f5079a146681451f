"""One question for all who have it at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def asked(question: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A question under way, whose error is no complaint if nobody is left to hear it."""
    task = asyncio.create_task(question)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


class Together(Generic[T]):
    """Asks one question at a time. Who comes while one is under way shares the next one with the others.

    So that no answer is older than the wish for it, which the answer under way may be.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """The answer to a question asked after this call, or the error that it ended with."""
        if self._next is None:
            self._next = asked(self._asked())
        return await asyncio.shield(self._next)

    async def _asked(self) -> T:
        async with self._one_at_a_time:
            self._next = None
            return await self._ask()
