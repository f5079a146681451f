"""Transient errors are retried with backoff."""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class Backoff:
    """The waits between attempts, in seconds: doubled from `first` up to `longest`.

    Each is cut at random by up to a half, so that several processes do not come back at one moment.
    """

    def __init__(self, first: float = 0.05, longest: float = 5.0) -> None:
        self._first = self._next = first
        self._longest = longest

    @property
    def next(self) -> float:
        """The next wait, at the most."""
        return self._next

    def reset(self) -> None:
        """Begin with the first wait again: an attempt succeeded."""
        self._next = self._first

    async def wait(self) -> None:
        """Wait, and make the wait after this one longer."""
        delay, self._next = self._next, min(2 * self._next, self._longest)
        await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - jitter


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes: aiokafka's sender wraps what ended it, once or twice."""
    while error is not None:
        yield error
        error = error.__cause__


async def retried(
    attempt: Callable[[], Awaitable[T]],
    is_transient: Callable[[Exception], bool],
    *,
    what: str,
    within: float = math.inf,
) -> T:
    """The attempt's result; transient errors are retried with backoff, for `within` seconds.

    The first error is logged, each other one that follows, and when it is over.
    """
    clock, backoff, logged = asyncio.get_running_loop().time, Backoff(), ""
    began, limit = clock(), "" if within == math.inf else f" for {within:.0f} s"
    while True:
        try:
            result = await attempt()
        except Exception as error:
            if not is_transient(error) or clock() + backoff.next > began + within:
                raise
            words = f"{type(error).__name__}: {error}"
        else:
            if logged:
                log.info("%s: answers again, after %.1f s", what, clock() - began)
            return result
        if words != logged:
            log.warning("%s: %s; trying again%s", what, words, limit)
            logged = words
        await backoff.wait()
