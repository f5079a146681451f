"""Errors that are tried again, and those that are not."""

import asyncio
import logging
import re

import pytest

from infra.runtime.retry import Backoff, causes, retried


class Attempt:
    """Fails with these errors, one after the other; then it gives how many attempts there were."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.count = 0

    async def __call__(self) -> int:
        self.count += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.count


def is_transient(error: Exception) -> bool:
    return isinstance(error, OSError)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Each line, seconds as tenths of one."""
    lines = [(record.levelno, record.getMessage()) for record in caplog.records]
    return [(level, re.sub(r"after \d+\.\d s", "after 0.1 s", line)) for level, line in lines]


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_what_several_wait_for_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = [Attempt(OSError("away"), OSError("away")) for _ in range(4)]

    await asyncio.gather(*(retried(one, is_transient, what="Postgres") for one in attempts))

    first, last = said(caplog)
    assert first == (logging.WARNING, "Postgres: OSError: away; trying again")
    assert last[1].startswith("Postgres: works again, after ")


async def test_an_outage_that_nobody_waited_for_to_its_end_is_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            await retried(Attempt(OSError("away"), ValueError("wrong")), is_transient, what="Redis")

    assert [line for _, line in said(caplog)] == ["Redis: OSError: away; trying again"] * 2


async def test_transient_errors_are_tried_again_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    attempt = Attempt(OSError("away"), TimeoutError("slow"), OSError("away still"))

    assert await retried(attempt, is_transient, what="Kafka", within=30) == 4

    assert said(caplog) == [
        (logging.WARNING, "Kafka: OSError: away; trying again for 30 s"),
        (logging.WARNING, "Kafka: TimeoutError: slow; trying again for 30 s"),
        (logging.INFO, "Kafka: works again, after 0.1 s and 3 failed attempts"),
    ]


async def test_a_lasting_error_is_raised_at_once() -> None:
    attempt = Attempt(OSError("away"), ValueError("wrong"))

    with pytest.raises(ValueError, match="wrong"):
        await retried(attempt, is_transient, what="Kafka")

    assert attempt.count == 2


async def test_a_transient_error_is_raised_when_there_is_no_time_left() -> None:
    attempt = Attempt(OSError("away"))

    with pytest.raises(OSError, match="away"):
        await retried(attempt, is_transient, what="Kafka", within=0)

    assert attempt.count == 1


async def test_waits_are_doubled_up_to_the_longest_until_it_works_again() -> None:
    backoff = Backoff(0.001, 0.003)
    waits = []
    for _ in range(4):
        waits.append(backoff.next)
        await backoff.wait()
    backoff.reset()

    assert waits == [0.001, 0.002, 0.003, 0.003]
    assert backoff.next == 0.001


def test_the_causes_of_an_error_begin_with_itself() -> None:
    first, second = OSError("first"), ValueError("second")
    second.__cause__ = first

    assert list(causes(second)) == [second, first]
