"""What keeps a log readable while a library repeats itself."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_REPEAT_SECONDS = 30.0


class RepeatFilter(logging.Filter):
    """Lets each wording of some loggers through once in `seconds`.

    Without a broker, aiokafka logs the same of every connection, many times a second.
    """

    def __init__(self, is_limited: Callable[[str], bool], seconds: float = _REPEAT_SECONDS) -> None:
        """`is_limited` tells by a logger's name whether its messages are."""
        super().__init__()
        self._is_limited = is_limited
        self._seconds = seconds
        self._logged_at: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        wording, now = (record.name, record.msg), time.monotonic()
        if not self._is_limited(record.name):
            return True
        if now - self._logged_at.get(wording, -math.inf) < self._seconds:
            return False
        self._logged_at[wording] = now
        return True


@contextmanager
def silenced(logger: str) -> Iterator[None]:
    """Log nothing of this logger and those below it while the block runs, but for what is critical."""
    log = logging.getLogger(logger)
    former = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(former)
