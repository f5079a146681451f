"""From a feed to the sender, until there is no more or somebody says stop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from infra.produce.feed import Feed
from infra.produce.files import InputError
from infra.produce.pace import Pace
from infra.produce.records import Item, Record
from infra.produce.tally import Tally

_AT_ONCE = 500


class Outlet(Protocol):
    """Takes records; a `Sender`. Each may raise DeliveryError, for this or an earlier record."""

    async def send(self, record: Record) -> None:
        """Take a record, to go out some time soon."""

    async def submit(self) -> None:
        """Let everything go out that was taken."""

    async def finish(self) -> None:
        """Let everything go out, and wait until it has arrived."""


async def run(
    feed: Feed,
    sender: Outlet,
    *,
    tally: Tally,
    pace: Pace,
    stop: asyncio.Event,
    limit: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Send what the feed brings. On return everything that was taken from it is acknowledged.

    Args:
        feed: brings the records.
        sender: takes them.
        tally: is counted up.
        pace: says when.
        stop: ends it early, also while nothing comes.
        limit: how many to send at most.
        watch: is called now and then.

    Raises:
        DeliveryError: a record was not delivered.
        InputError: the input is damaged; what came before is acknowledged.
    """
    try:
        await _take_all(feed, sender, tally=tally, pace=pace, stop=stop, limit=limit, watch=watch)
    except InputError:
        await sender.finish()
        raise
    await sender.finish()
    watch()


async def _take_all(
    feed: Feed,
    sender: Outlet,
    *,
    tally: Tally,
    pace: Pace,
    stop: asyncio.Event,
    limit: int | None,
    watch: Callable[[], None],
) -> None:
    while not stop.is_set() and (limit is None or tally.taken < limit):
        room = pace.room()
        if room == 0:
            await _pause(sender, stop, pace.wait_seconds())
        else:
            left = room if limit is None else min(room, limit - tally.taken)
            items = await _next(feed, sender, stop, min(left, _AT_ONCE))
            if not items:
                return
            pace.spend(await _send(items, sender, tally))
        watch()


async def _send(items: list[Item], sender: Outlet, tally: Tally) -> int:
    """How many of the items were records."""
    before = tally.taken
    for item in items:
        if isinstance(item, Record):
            await sender.send(item)
            tally.taken += 1
        else:
            tally.reject(item)
    return tally.taken - before


async def _next(feed: Feed, sender: Outlet, stop: asyncio.Event, most: int) -> list[Item]:
    if feed.ready:
        return await feed.take(most)
    # Whatever comes next may take its time: nothing should wait for it here.
    await sender.submit()
    taking = asyncio.ensure_future(feed.take(most))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if taking.done():
        return taking.result()
    taking.cancel()
    return []


async def _pause(sender: Outlet, stop: asyncio.Event, seconds: float) -> None:
    await sender.submit()
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
