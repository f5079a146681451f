"""Signals that end a session of tests, so that no service outlives it."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any


def install() -> None:
    """Let SIGTERM and SIGHUP end pytest as Ctrl-C does: fixtures are torn down, and stop what they started.

    By default both end the process at once, and leave Kafka, Postgres and Valkey running.

    Raises:
        KeyboardInterrupt: Such a signal has come, and what it raised was swallowed: a test that runs in an
            event loop is cancelled by it, and may end otherwise.
    """
    if signal.getsignal(signal.SIGTERM) is _ended_already:
        raise KeyboardInterrupt
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


def run_to_its_end(command: Sequence[str | Path], **options: Any) -> None:
    """Run a command that starts services and stops them; it must not fail.

    What ends the test ends the command as `kill` does, and waits for it: `subprocess.run` kills it a quarter
    of a second after an interrupt, before it has stopped them.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    assert code == 0, (command, code)
