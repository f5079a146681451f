"""What ends a test that takes too long, whatever hangs in it, and a session in which several do.

pytest-timeout counts the time and fails the test by a signal. It does so once, which code may swallow (a
callback of an event loop does), and not at all while something is torn down after a failure; and of a
coroutine that waits it shows the event loop. Here the signal comes again until the test has ended, tearing
down has a time of its own, and the failure says what each task waits for.
"""

import asyncio
import faulthandler
import gc
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any, Protocol

import pytest

_MOST = 3
"""So many tests of one process that take too long hang for one reason, as the others will."""


class _Settings(Protocol):
    timeout: float
    method: str


class TimeLimits:
    """A plugin of pytest. Make it while nothing is captured.

    Args:
        tear_down: Seconds for what is torn down after a test. With the last one all services are stopped:
            Kafka alone has 20 s for it.
        again: Seconds after which a test that goes on is failed again.
        grace: Seconds after which the process of a test that goes on all the same is ended.
    """

    def __init__(self, tear_down: float = 90, again: float = 30, grace: float = 60) -> None:
        self._tear_down, self._again, self._grace = tear_down, again, grace
        self._stderr = os.dup(2)
        self._overran: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """End the process where even a signal does not end the test."""
        self._end_process_after(_limit(item))
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Count anew: after a failure nobody does."""
        if limit := _limit(item):
            seconds = max(self._tear_down, limit / 4)
            self._fail_after(item, seconds)
            self._end_process_after(seconds)
        yield

    def pytest_timeout_set_timer(self, item: pytest.Item, settings: _Settings) -> bool | None:
        """Take the place of pytest-timeout's own timer."""
        if settings.method != "signal":
            return None
        self._fail_after(item, settings.timeout)
        return True

    def pytest_enter_pdb(self) -> None:
        """Leave whoever looks into a test all the time."""
        _cancel()

    def _fail_after(self, item: pytest.Item, seconds: float) -> None:
        def fail(_number: int, _frame: FrameType | None) -> None:
            __tracebackhide__ = True
            self._note(item)
            pytest.fail("\n".join([f"not done after {seconds:g} s (Timeout)", *_waiting()]))

        signal.signal(signal.SIGALRM, fail)
        signal.setitimer(signal.ITIMER_REAL, seconds, self._again)
        item.cancel_timeout = _cancel  # type: ignore[attr-defined]  # called at the end

    def _note(self, item: pytest.Item) -> None:
        if item.nodeid not in self._overran:
            self._overran.append(item.nodeid)
        if len(self._overran) >= _MOST:
            item.session.shouldfail = f"{_MOST} tests took too long, so all may: {', '.join(self._overran)}"

    def _end_process_after(self, seconds: float) -> None:
        if seconds:
            faulthandler.dump_traceback_later(seconds + self._grace, file=self._stderr, exit=True)


def _limit(item: pytest.Item) -> float:
    """The test's seconds; 0 for no limit."""
    marker, option = item.get_closest_marker("timeout"), item.config.getoption("timeout")
    if marker is not None:
        return float(marker.args[0])
    return float(item.config.getini("timeout") if option is None else option)


def _cancel() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _waiting() -> Iterator[str]:
    """What each task awaits, and where each other thread is, from the outside in."""
    for task in gc.get_objects():
        if isinstance(task, asyncio.Task) and not task.done():
            yield f"{task.get_name()} awaits:"
            yield from (f"  {place}" for place in _places(task.get_coro()))
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.ident is not None:
            yield f"thread {thread.name}:"
            yield from _lines(sys._current_frames().get(thread.ident))  # noqa: SLF001 - there is no other way


def _places(awaited: Any) -> Iterator[str]:
    kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(awaited, f"{kind}_frame")), None)
    if kind is None:
        # A step of an asynchronous generator, as fixtures are, does not say of which.
        within = [one for one in gc.get_referents(awaited) if inspect.isasyncgen(one)]
    else:
        if frame := getattr(awaited, f"{kind}_frame"):
            yield f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        within = [getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")]
    for one in within:
        yield from _places(one)


def _lines(frame: FrameType | None) -> Iterator[str]:
    for text in traceback.format_stack(frame) if frame else ():
        yield text.splitlines()[0]
