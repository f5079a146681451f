"""Transient errors are retried with backoff."""

import asyncio
import logging
import math
import random
import time
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


class Outage:
    """Says the first error of each kind while something fails, and its end: after how long, and how often."""

    def __init__(self, what: str, limit: str = "") -> None:
        self._what, self._limit = what, limit
        self._began = math.nan
        self._often = 0
        self._said: set[str] = set()

    def failed(self, words: str, kind: str = "") -> None:
        """An attempt failed; said, unless one of this kind has since the first."""
        self._began = self._began if self._often else time.monotonic()
        self._often += 1
        if (kind or words) not in self._said:
            self._said.add(kind or words)
            log.warning("%s: %s; trying again%s", self._what, words, self._limit)

    def over(self) -> None:
        """An attempt succeeded; said where one had failed."""
        if self._often:
            took = time.monotonic() - self._began
            log.info("%s: works again, after %.1f s and %d failed attempts", self._what, took, self._often)
        self._often = 0
        self._said.clear()


class _Waiting:
    """Who waits for the same thing: its outage is one, however many they are."""

    def __init__(self) -> None:
        self.outages: dict[str, tuple[Outage, set[object]]] = {}

    def failed(self, what: str, who: object, error: Exception, limit: str) -> None:
        outage, waiting = self.outages.setdefault(what, (Outage(what, limit), set()))
        waiting.add(who)
        outage.failed(in_a_line(error), type(error).__name__)

    def over(self, what: str, who: object) -> None:
        """The first who succeeds ends it for all."""
        if who in self.outages.get(what, (None, set()))[1]:
            self.outages.pop(what)[0].over()

    def left(self, what: str, who: object) -> None:
        """Nobody knows of an outage that nobody waits for."""
        _, waiting = self.outages.get(what, (None, {who}))
        waiting.discard(who)
        if not waiting:
            self.outages.pop(what, None)


_WAITING = _Waiting()


def is_trying_again() -> bool:
    """Whether something in this process has failed and is tried again now."""
    return bool(_WAITING.outages)


def in_a_line(error: Exception) -> str:
    """Its kind and its first line: Postgres' further ones may quote a row.

    >>> in_a_line(OSError("away"))
    'OSError: away'
    """
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


async def retried(
    attempt: Callable[[], Awaitable[T]],
    is_transient: Callable[[Exception], bool],
    *,
    what: str,
    within: float = math.inf,
) -> T:
    """The attempt's result; transient errors are retried with backoff, for `within` seconds.

    The first error of each kind is logged, and the end; once where several wait for the same.
    """
    clock, backoff, who = asyncio.get_running_loop().time, Backoff(), object()
    began, limit = clock(), "" if within == math.inf else f" for {within:.0f} s"
    try:
        while True:
            try:
                result = await attempt()
            except Exception as error:
                if not is_transient(error) or clock() + backoff.next > began + within:
                    raise
                _WAITING.failed(what, who, error, limit)
            else:
                _WAITING.over(what, who)
                return result
            await backoff.wait()
    finally:
        _WAITING.left(what, who)


def retries_in_progress() -> dict[str, int]:
    """How many calls of `retried` in this process try again now, by what they need."""
    return {what: len(waiting) for what, (_, waiting) in _WAITING.outages.items()}
