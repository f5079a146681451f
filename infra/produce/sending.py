"""Sending of a source's items at a limited rate, until it ends, enough is sent or a stop is asked for."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from infra.produce.errors import InputError
from infra.produce.report import Outcomes
from infra.produce.rows import Item, ProducerRecord, Source

UNLIMITED = 1 << 62
_FIRST_ROWS = 10_000
_FIRST_BYTES = 16 << 20
_QUIET_SECONDS = 0.3  # a pipe that has nothing for so long has given its first rows
_AT_ONCE = 500
_READ_AHEAD = 10_000
_TICK = 0.01  # seconds: shorter sleeps cost more than what is sent in between


class Outlet(Protocol):
    """Takes records, as a `TopicSender` does. All may raise DeliveryError, also for an earlier record."""

    async def send(self, record: ProducerRecord) -> None:
        """Take a record, to go out some time soon."""

    async def submit(self) -> None:
        """Let everything go out that was taken."""

    async def finish(self) -> None:
        """Let everything go out, and wait until it has arrived."""


class Feed(Protocol):
    """What gives a source's items, some of them at a time."""

    @property
    def ready(self) -> bool:
        """Whether `take` returns at once."""

    async def take(self, most: int) -> list[Item]:
        """Take the next items, none when the source has ended; cancelling it loses nothing."""


@dataclass(frozen=True)
class DirectFeed:
    """The items of a source that never waits long: a file on the disk, or a generator."""

    source: Source
    ready = True

    async def take(self, most: int) -> list[Item]:
        """Make the next items, up to `most`; none when the source has ended.

        Raises:
            Exception: Whatever the source raises.
        """
        return list(islice(self.source, most))


class WaitingFeed:
    """The items of a source that waits for others to write, read in a thread of its own.

    The thread is not joined: a read of standard input cannot be cancelled.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._room = threading.Event()
        self._news = asyncio.Event()
        self._wanted = False
        self._ended = False
        self._error: Exception | None = None
        threading.Thread(target=self._read, name="produce-reader", daemon=True).start()

    @property
    def ready(self) -> bool:
        """Whether `take` returns at once."""
        return bool(self._items) or self._ended

    async def take(self, most: int) -> list[Item]:
        """Take what is there, after waiting for the first item; none when the source has ended.

        Cancelling it loses nothing.

        Raises:
            Exception: Whatever the source raises.
        """
        while not self.ready:
            self._news.clear()
            self._wanted = True
            # Checked again: for an item that came before the line above the event is not set.
            if not self.ready:
                await self._news.wait()
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._room.set()
        if not items and self._error is not None:
            raise self._error
        return items

    def _read(self) -> None:
        try:
            for item in self._source:
                while len(self._items) >= _READ_AHEAD:
                    self._room.clear()
                    if len(self._items) >= _READ_AHEAD:  # checked again, as in `take`
                        self._room.wait()
                self._items.append(item)
                self._notify()
        except Exception as error:  # noqa: BLE001 - raised again where items are taken
            self._error = error
        self._ended = True
        self._notify()

    def _notify(self) -> None:
        if self._wanted:  # waking the loop for each item would halve the rate
            self._wanted = False
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._news.set)


class CheckedFeed:
    """A feed whose first items are all looked at before one of them is taken.

    Of a source that waits those count as the first that come without a pause.
    """

    def __init__(self, feed: DirectFeed | WaitingFeed, check: Callable[[Sequence[Item], bool], None]) -> None:
        """`check` is given the first items and whether these are all; what it raises, `take` raises."""
        self._feed = feed
        self._check = check
        self._first: deque[Item] = deque()
        self._checked = False

    @property
    def ready(self) -> bool:
        """Whether `take` returns at once."""
        return self._checked and (bool(self._first) or self._feed.ready)

    async def take(self, most: int) -> list[Item]:
        """Take the next items, none when the source has ended; cancelling it loses nothing."""
        if not self._checked:
            self._check(self._first, await self._look())
            self._checked = True
        if self._first:
            return [self._first.popleft() for _ in range(min(most, len(self._first)))]
        return await self._feed.take(most)

    async def _look(self) -> bool:
        """Fill `_first`; whether the source has ended."""
        size = 0
        while len(self._first) < _FIRST_ROWS and size < _FIRST_BYTES:
            try:
                async with asyncio.timeout(_QUIET_SECONDS if self._first else None):
                    items = await self._feed.take(_AT_ONCE)
            except TimeoutError:
                return False
            if not items:
                return True
            self._first += items
            size += sum(len(item.value) for item in items if isinstance(item, ProducerRecord))
        return False


class RateLimit:
    """A limit of so many a second, None for none; the first may go at once.

    What is not used is kept for a second at most, so that no burst follows a longer stall.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._clock = clock
        self._room = 1.0
        self._seen = clock()

    def room(self) -> int:
        """How many may go now."""
        if self._rate is None:
            return UNLIMITED
        now = self._clock()
        self._room = min(self._room + (now - self._seen) * self._rate, max(self._rate, 1.0))
        self._seen = now
        return int(self._room)

    def spend(self, count: int) -> None:
        """Subtract what has gone."""
        self._room -= count

    def wait_seconds(self) -> float:
        """The time until there is room again, when there is none."""
        return max(_TICK, (1 - self._room) / self._rate) if self._rate else 0.0


@dataclass(frozen=True, slots=True)
class Sending:
    """From a feed to an outlet, at most `limit` records, each outcome counted.

    `stop` ends it early, also while nothing comes; `watch` is called now and then.
    """

    feed: Feed
    outlet: Outlet
    outcomes: Outcomes
    rate_limit: RateLimit
    stop: asyncio.Event
    limit: int | None = None
    watch: Callable[[], None] = lambda: None

    async def run(self) -> bool:
        """Send what the feed brings; on return everything that was taken from it is acknowledged.

        Returns:
            Whether the feed has ended, and neither `stop` nor `limit` came before.

        Raises:
            DeliveryError: A record was not delivered.
            InputError: The input is damaged; what came before is acknowledged.
        """
        try:
            ended = await self._send_all()
        except InputError:
            await self.outlet.finish()
            raise
        await self.outlet.finish()
        self.watch()
        return ended

    async def _send_all(self) -> bool:
        while not self.stop.is_set() and (left := self._left()) > 0:
            room = self.rate_limit.room()
            if room == 0:
                await self._pause(self.rate_limit.wait_seconds())
            elif items := await self._next(min(room, left, _AT_ONCE)):
                self.rate_limit.spend(await self._send(items))
            else:
                return not self.stop.is_set()
            self.watch()
        return False

    def _left(self) -> int:
        return UNLIMITED if self.limit is None else self.limit - self.outcomes.taken

    async def _send(self, items: list[Item]) -> int:
        """Send or count each item; the number of records among them."""
        before = self.outcomes.taken
        for item in items:
            if isinstance(item, ProducerRecord):
                await self.outlet.send(item)
                self.outcomes.taken += 1
            else:
                self.outcomes.reject(item)
        return self.outcomes.taken - before

    async def _next(self, most: int) -> list[Item]:
        if self.feed.ready:
            return await self.feed.take(most)
        # The next item may take long: what was taken until now must not wait for it in a batch.
        await self.outlet.submit()
        taking = asyncio.ensure_future(self.feed.take(most))
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if taking.done():
            return taking.result()
        taking.cancel()
        return []

    async def _pause(self, seconds: float) -> None:
        await self.outlet.submit()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
