"""A source's items, as many as are there, without holding up the event loop for those that are not."""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Protocol

from infra.produce.records import Item, Source

_MOST_WAITING = 10_000


class Feed(Protocol):
    """Where items come from."""

    @property
    def ready(self) -> bool:
        """Whether `take` returns at once."""

    async def take(self, most: int) -> list[Item]:
        """From one to `most` items; none when the source has ended. Raises what the source raises."""


class DirectFeed:
    """A source that never waits long: a file on the disk, or a generator."""

    ready = True

    def __init__(self, source: Source) -> None:
        self._source = source

    async def take(self, most: int) -> list[Item]:
        """The next ones, made now."""
        return list(islice(self._source, most))


class WaitingFeed:
    """A source that waits for others to write, read in a thread of its own.

    The thread is not joined: a read of standard input cannot be called off.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Item] = deque()
        self._room = threading.Event()
        self._news = asyncio.Event()
        self._told = False
        self._ended = False
        self._error: Exception | None = None
        threading.Thread(target=self._read, name="produce-reader", daemon=True).start()

    @property
    def ready(self) -> bool:
        """Whether there is something, or nothing more to come."""
        return bool(self._waiting) or self._ended

    async def take(self, most: int) -> list[Item]:
        """What is there; waits for the first. Cancelling loses nothing."""
        while not self.ready:
            self._news.clear()
            self._told = False
            # Looked at again: what came before the line above told nobody.
            if not self.ready:
                await self._news.wait()
        items = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._room.set()
        if not items and self._error is not None:
            raise self._error
        return items

    def _read(self) -> None:
        try:
            for item in self._source:
                self._wait_for_room()
                self._waiting.append(item)
                if not self._told:
                    self._tell()
        except Exception as error:  # noqa: BLE001  (raised again where items are taken)
            self._error = error
        self._ended = True
        self._tell()

    def _wait_for_room(self) -> None:
        while len(self._waiting) >= _MOST_WAITING:
            self._room.clear()
            if len(self._waiting) >= _MOST_WAITING:
                self._room.wait()

    def _tell(self) -> None:
        self._told = True
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._news.set)
