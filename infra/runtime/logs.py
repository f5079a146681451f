"""The log of every long-running program: one format, and no more of a library than is worth reading."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_OURS = ("api.", "infra.", "schemas.", "stream_app.")
_RETRIES = "infra.runtime.retry"  # many partitions wait for the same service
_REPEAT_SECONDS = 30.0


def start_logging(
    *filters: Callable[[logging.LogRecord], bool], level: int | str = logging.INFO, path: Path | None = None
) -> None:
    """Log to the standard error output, or to a file, what passes these filters.

    Libraries log what is a warning or worse, and each wording of it once in a while.
    """
    handler = logging.StreamHandler() if path is None else logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(_FORMAT))
    for one in (*filters, _of_a_library_only_warnings):
        handler.addFilter(one)
    handler.addFilter(RepeatFilter(lambda name: name == _RETRIES or not name.startswith(_OURS)))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _of_a_library_only_warnings(record: logging.LogRecord) -> bool:
    debugging = logging.getLogger().isEnabledFor(logging.DEBUG)
    return record.levelno >= logging.WARNING or record.name.startswith(_OURS) or debugging


class RepeatFilter(logging.Filter):
    """Lets each wording of some loggers through once in `seconds`; one that begins with %s, each text.

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
        text = record.getMessage() if str(record.msg).startswith("%s") else record.msg
        wording, now = (record.name, text), time.monotonic()
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
