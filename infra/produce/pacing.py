"""A history at its own pace: the time between its dates, or a part of it, passes between its transactions."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

import click

from infra.produce.rows import Item, ProducerRecord
from infra.produce.sending import Feed

_AT_ONCE = 500
_SHORTEST = 0.01  # seconds: shorter sleeps cost more than what is sent in between
_SPEED = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)x?")


class SpeedType(click.ParamType):
    """How many times as fast as it was, as `60x`."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number.

        Raises:
            click.BadParameter: It is none above 0.
        """
        found = _SPEED.fullmatch(str(value))
        speed = float(found[1]) if found else 0.0
        return speed or self.fail(
            f"{value!r} is no speed such as 60x, or 1x for that of the dates", param, ctx
        )


class PacedFeed:
    """A feed whose items come when it is their time: the first at once, one that is late at once, too."""

    def __init__(
        self,
        feed: Feed,
        speed: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed, self._speed, self._clock = feed, speed, clock
        self._held: deque[Item] = deque()
        self._began: tuple[datetime, float] | None = None

    @property
    def ready(self) -> bool:
        """Whether `take` returns at once."""
        return bool(self._held) and self._left(self._held[0]) <= 0

    async def take(self, most: int) -> list[Item]:
        """Take the next items, after waiting for their time; none when the source has ended.

        Cancelling it loses nothing.

        Raises:
            Exception: Whatever the source raises.
        """
        if not self._held:
            self._held += await self._feed.take(_AT_ONCE)
        if not self._held:
            return []
        if (seconds := self._left(self._held[0])) > 0:
            await asyncio.sleep(max(seconds, _SHORTEST))
        items = [self._held.popleft()]
        while len(items) < most and self.ready:
            items.append(self._held.popleft())
        return items

    def _left(self, item: Item) -> float:
        """The seconds until an item's time."""
        if not isinstance(item, ProducerRecord) or item.date is None:
            return 0.0
        if self._began is None:
            self._began = item.date, self._clock()
        since, at = self._began
        return at + (item.date - since).total_seconds() / self._speed - self._clock()
