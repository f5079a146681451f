"""The log of every long-running program: one line for each thing worth knowing, and no data of anybody's."""

import logging
import math
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from traceback import format_tb
from types import TracebackType
from typing import Annotated, Literal

import msgspec
from pydantic import BeforeValidator, SecretStr

from infra.runtime.addresses import servers_of
from infra.runtime.settings import SettingsGroup
from schemas.masking import without_data, without_ids

log = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_OURS = ("api.", "infra.", "schemas.", "stream_app.")
_REPEAT_SECONDS = 30.0

# What aiokafka says of any rebalance, and of a group that a broker hears of for the first time. It
# tries again by itself, and what lasts is said by whoever waits for it.
_CHATTER = (
    "Got error produce response",
    "Group Coordinator Request failed",
    "Heartbeat failed",
    "Marking the coordinator dead",
)
_CREDENTIALS = re.compile(r"//[^/@\s]*@")

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogSettings(SettingsGroup):
    """How programs log."""

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = "INFO"
    """What is logged: DEBUG, INFO, WARNING or ERROR, and what is worse."""
    log_format: Literal["text", "json"] = "text"
    """Whether a line of the log is text or an object of JSON."""


def start_logging(
    settings: LogSettings, *filters: Callable[[logging.LogRecord], bool], path: Path | None = None
) -> None:
    """Log to the standard error output, or to a file, what passes these filters.

    Libraries log what is wrong, and each wording of it once in a while; at DEBUG also what they say of their
    course, but not their own DEBUG: aiokafka's has whole records.
    """
    handler = logging.StreamHandler() if path is None else logging.FileHandler(path)
    handler.setFormatter(_JsonLines() if settings.log_format == "json" else _Lines(_FORMAT))
    for one in (*filters, _worth_reading):
        handler.addFilter(one)
    handler.addFilter(RepeatFilter(lambda name: not name.startswith(_OURS)))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    sys.excepthook = _log_uncaught


def log_start(program: str, settings: SettingsGroup, **more: object) -> None:
    """Log what runs: its version, what else is known of it, and the settings that were made."""
    log.info("txnwatch %s %s on Python %s", program, version("txnwatch"), platform.python_version())
    for name, value in more.items():
        log.info("%s: %s", name, value)
    names = settings.variables()
    made = [f"{names[one]}={_shown(getattr(settings, one))}" for one in settings.model_fields_set]
    log.info("settings: %s", ", ".join(sorted(made)) or "none")


def _shown(value: object) -> str:
    """A setting without secrets: of an address that may have one the servers."""
    if isinstance(value, SecretStr):
        return servers_of(value.get_secret_value()) or "***"
    return _CREDENTIALS.sub("//", str(value).partition("?")[0])


class _Lines(logging.Formatter):
    """Lines to be read by people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = _message(record)
        return super().formatMessage(record)

    def formatException(self, ei: _Raised) -> str:  # noqa: N802
        return _stack(ei[1])


class _JsonLines(logging.Formatter):
    """A JSON object a line: `time` in UTC, `level`, `logger`, `message`, and an error with its stack."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info:
            line["error"] = _stack(record.exc_info[1])
        return msgspec.json.encode(line).decode()


def _message(record: logging.LogRecord) -> str:
    """In one line; where a library tells of an error, without what that may quote."""
    text = record.getMessage()
    if record.exc_info and not record.name.startswith(_OURS):
        return without_data(text)
    return without_ids(" ".join(text.split("\n")))


def _stack(error: BaseException | None) -> str:
    """Where an error came from and what it says, and the same of what it came of."""
    return "\nwhich came of\n".join(map(_raised, _chain(error, set())))


def _raised(error: BaseException) -> str:
    stack = ["Traceback (most recent call last):\n", *format_tb(error.__traceback__)]
    return "".join(stack) + f"{type(error).__name__}: {without_data(str(error))}"


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """The error, those of a group, and causes, each once: mode raises what ends a worker from itself."""
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        for one in (*getattr(error, "exceptions", ()), error.__cause__ or error.__context__):
            yield from _chain(one, seen)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Have also the error that ends a program in the log's form, and without data."""
    log.critical("ended by an error that nobody foresaw", exc_info=(kind, error, traceback))


def _worth_reading(record: logging.LogRecord) -> bool:
    """Ours, and of libraries what is wrong; at DEBUG their course as well."""
    if record.name.startswith(_OURS):
        return True
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        return record.levelno >= logging.INFO
    return record.levelno >= logging.WARNING and not str(record.msg).startswith(_CHATTER)


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
