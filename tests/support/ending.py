"""Signals that end a session of tests, so that no service outlives it."""

import signal
from types import FrameType


def install() -> None:
    """Let SIGTERM and SIGHUP end pytest as Ctrl-C does: fixtures are torn down, and stop what they started.

    By default both end the process at once, and leave Kafka, Postgres and Valkey running.
    """
    # Started in the background, this process ignores Ctrl-C, and so would every process under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup the process ignores SIGHUP, and goes on doing so.
        if signal.getsignal(number) in (signal.SIG_DFL, _once):
            signal.signal(number, _once)


def _once(_number: int, _frame: FrameType | None) -> None:
    """End, and let no further signal interrupt the tearing down: `timeout` and make send it twice."""
    for other in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, _ended_already)
    signal.raise_signal(signal.SIGINT)


def _ended_already(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, no program that is started from here on inherits this."""
