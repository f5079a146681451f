"""What is kept for a while for others who need it too: bounded in seconds and in bytes."""

import asyncio
import time
from collections import deque
from collections.abc import Callable


class Shelf:
    """Has what is put on it forgotten after some seconds, or when there is too much, the oldest first."""

    def __init__(self, *, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._most = size
        self._order: deque[tuple[float, int, Callable[[], object]]] = deque()
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop the clock."""
        if self._timer:
            self._timer.cancel()

    def put(self, size: int, forget: Callable[[], object]) -> None:
        """Call `forget` when something of this size in bytes is to go; what is older may go at once."""
        self._order.append((time.monotonic() + self._seconds, size, forget))
        self._size += size
        self._tidy()

    def _tidy(self) -> None:
        now = time.monotonic()
        while self._order and (self._order[0][0] <= now or self._size > self._most):
            _, size, forget = self._order.popleft()
            forget()
            self._size -= size
        self.close()
        if self._order:
            self._timer = asyncio.get_running_loop().call_later(self._order[0][0] - now, self._tidy)
