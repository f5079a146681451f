"""Tasks that run beside others: for as long as a block, or for as long as somebody needs them."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from infra.runtime.retry import Backoff, Outage, in_a_line

log = logging.getLogger(__name__)

_FIRST_WAIT = 0.2
_CANCEL_SECONDS = 5


@asynccontextmanager
async def background(work: Coroutine[Any, Any, object], *, name: str) -> AsyncIterator[None]:
    """Run a coroutine while the block runs; at its end it is cancelled, and its end awaited."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def cancel(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task and wait for its end, for a bounded time: what hangs on Kafka ends with its client."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)


def cancel_on(*signals: signal.Signals) -> None:
    """Have these signals cancel the current task, as Ctrl-C does, so that what it began is cleared away."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - called from one
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


class OnDemand:
    """Work that runs while somebody uses what it brings, and for `linger_seconds` after the last use.

    `work` returns once it is no longer `wanted`. Until then its errors start it again, with backoff up to
    `longest_wait` seconds: those of `transient` kinds are expected and logged once an outage, others with
    their traceback. `at_rest` is called whenever it goes to rest, until somebody uses it again.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        transient: tuple[type[Exception], ...],
        linger_seconds: float,
        longest_wait: float = 5.0,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._work = work
        self._transient = transient
        self._linger_seconds = linger_seconds
        self._at_rest = at_rest
        self._backoff = Backoff(_FIRST_WAIT, longest_wait)
        self._outage = Outage(name)
        self._wake = asyncio.Event()
        self._used_at = 0.0
        self.users = 0
        """How many use it now."""

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have it run while the block runs."""
        self.users += 1
        self._wake.set()
        try:
            yield
        finally:
            self.users -= 1
            self._used_at = time.monotonic()

    @property
    def wanted(self) -> bool:
        """Whether somebody uses it, or has until a moment ago."""
        return self.users > 0 or time.monotonic() - self._used_at < self._linger_seconds

    def succeeded(self) -> None:
        """Take note that the work goes well: its next error is the first of another outage."""
        self._outage.over()
        self._backoff.reset()

    async def run(self) -> None:
        """Run the work whenever it is wanted, until cancelled."""
        while True:
            await self._wake.wait()
            if not await self._worked():
                await self._backoff.wait()
            if not self.wanted:
                self._wake.clear()
                self._at_rest()

    async def _worked(self) -> bool:
        """Run the work once; False when it failed, which is logged."""
        try:
            await self._work()
        except self._transient as error:
            self._outage.failed(in_a_line(error), "away")
        except Exception:
            log.exception("%s failed, and starts again", self._name)
        else:
            return True
        return False
