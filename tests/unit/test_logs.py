"""How a log looks, and what is logged of what libraries say and repeat."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime.logs import RepeatFilter, start_logging


def record(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, None)


@pytest.fixture
def repeat_filter() -> RepeatFilter:
    return RepeatFilter(lambda name: name.startswith("aiokafka"), seconds=60)


def test_one_wording_of_a_library_passes_once(repeat_filter: RepeatFilter) -> None:
    passed = [repeat_filter.filter(record("aiokafka.conn", "no %s", number)) for number in range(3)]

    assert passed == [True, False, False]
    assert repeat_filter.filter(record("aiokafka.conn", "another"))
    assert repeat_filter.filter(record("aiokafka.client", "no %s", 1))


def test_what_is_not_limited_always_passes(repeat_filter: RepeatFilter) -> None:
    assert all(repeat_filter.filter(record("api.live", "no %s", number)) for number in range(3))


def test_it_passes_again_after_a_while() -> None:
    repeat_filter = RepeatFilter(lambda _: True, seconds=0)

    assert all(repeat_filter.filter(record("aiokafka.conn", "no")) for _ in range(3))


def test_what_begins_with_its_subject_passes_once_a_text() -> None:
    repeat_filter = RepeatFilter(lambda _: True, seconds=60)
    passed = [
        repeat_filter.filter(record("infra.runtime.retry", "%s: %s; trying again", name, "no"))
        for name in ("Kafka", "Postgres", "Kafka")
    ]

    assert passed == [True, True, False]


@pytest.fixture
def _root() -> Iterator[None]:
    """The root logger is afterwards as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    for handler in handlers:
        root.removeHandler(handler)  # force=True would close pytest's
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_root")
def test_a_log_has_our_lines_and_of_libraries_what_is_wrong(tmp_path: Path) -> None:
    start_logging(path=tmp_path / "log")
    logging.getLogger("stream_app.takeover").info("partition %d: taken over", 3)
    logging.getLogger("faust.web").info("chatter")
    logging.getLogger("of_a_library.conn").warning("no broker")

    lines = (tmp_path / "log").read_text().splitlines()
    assert [re.sub(r"^\S+ \S+ ", "", line) for line in lines] == [
        "INFO stream_app.takeover: partition 3: taken over",
        "WARNING of_a_library.conn: no broker",
    ]


@pytest.mark.usefixtures("_root")
def test_at_debug_a_log_has_all(tmp_path: Path) -> None:
    start_logging(level="DEBUG", path=tmp_path / "log")
    logging.getLogger("faust.web").info("chatter")

    assert "INFO faust.web: chatter" in (tmp_path / "log").read_text()
