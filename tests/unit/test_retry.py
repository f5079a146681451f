"""Errors that are tried again, and those that are not."""

import logging

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


async def test_transient_errors_are_tried_again_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    attempt = Attempt(OSError("away"), TimeoutError("slow"))

    assert await retried(attempt, is_transient, what="Kafka", within=30) == 3

    assert [(record.levelno, record.getMessage().split(";")[0]) for record in caplog.records] == [
        (logging.WARNING, "Kafka: OSError: away"),
        (logging.WARNING, "Kafka: TimeoutError: slow"),
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
