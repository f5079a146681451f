"""How many transactions may go now."""

import time
from collections.abc import Callable

_TICK = 0.01  # seconds: below that, waking up costs more than what is sent
UNLIMITED = 1 << 62


class Pace:
    """At most so many a second, and the first at once.

    What was not used is kept for a second: after a longer stall there is no burst.

    Args:
        per_second: None for no limit.
        clock: seconds, monotonic.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._clock = clock
        self._room = 1.0
        self._seen = clock()

    def room(self) -> int:
        """How many may go now."""
        if self._rate is None:
            return UNLIMITED
        now = self._clock()
        self._room = min(self._room + (now - self._seen) * self._rate, max(self._rate, 1.0))
        self._seen = now
        return int(self._room)

    def spend(self, count: int) -> None:
        """So many have gone."""
        self._room -= count

    def wait_seconds(self) -> float:
        """How long there is no room, when there is none."""
        return max(_TICK, (1 - self._room) / self._rate) if self._rate else 0.0
