"""What is logged of what libraries repeat."""

import logging

import pytest

from infra.runtime.logs import RepeatFilter


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
