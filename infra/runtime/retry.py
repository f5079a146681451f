"""Failures that pass by themselves are tried again in place, for a bounded time."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of: aiokafka's sender wraps what ended it, once or twice."""
    while error is not None:
        yield error
        error = error.__cause__


async def retried(
    attempt: Callable[[], Awaitable[T]], passes: Callable[[Exception], bool], *, what: str, within: float
) -> T:
    """The attempt's result. A failure that `passes` is tried again, with backoff, for `within` seconds."""
    clock = asyncio.get_running_loop().time
    deadline, delay = clock() + within, FIRST_DELAY
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not passes(error) or clock() + delay > deadline:
                raise
            logger.warning("%s: %s: %s; trying again in %.1f s", what, type(error).__name__, error, delay)
        await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - jitter
        delay = min(2 * delay, LONGEST_DELAY)
