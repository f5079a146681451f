"""Items as they come."""

import asyncio
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from infra.produce.feed import DirectFeed, Feed, WaitingFeed
from infra.produce.files import InputError
from infra.produce.records import Item, Record


def numbered(count: int) -> list[Item]:
    return [Record(None, str(number).encode()) for number in range(count)]


async def all_of(feed: Feed, most: int) -> list[Item]:
    taken: list[Item] = []
    while items := await feed.take(most):
        assert len(items) <= most
        taken += items
    return taken


async def test_a_direct_feed_brings_everything_in_order() -> None:
    assert await all_of(DirectFeed(iter(numbered(1000))), 7) == numbered(1000)


async def test_a_waiting_feed_brings_everything_in_order_also_when_it_is_more_than_it_holds() -> None:
    assert await all_of(WaitingFeed(iter(numbered(50_000))), 500) == numbered(50_000)


async def test_a_waiting_feed_brings_what_is_there_while_its_source_waits() -> None:
    queue: SimpleQueue[Item | None] = SimpleQueue()
    feed = WaitingFeed(iter(queue.get, None))
    first, second, third = numbered(3)
    assert not feed.ready
    queue.put(first)
    assert await feed.take(10) == [first]
    taking = asyncio.ensure_future(feed.take(10))
    await asyncio.sleep(0)
    assert not taking.done()
    queue.put(second)
    assert await taking == [second]
    queue.put(third)
    queue.put(None)
    assert await all_of(feed, 10) == [third]
    assert feed.ready


async def test_calling_off_a_wait_loses_nothing() -> None:
    queue: SimpleQueue[Item | None] = SimpleQueue()
    feed = WaitingFeed(iter(queue.get, None))
    taking = asyncio.ensure_future(feed.take(10))
    await asyncio.sleep(0)
    taking.cancel()
    for item in [*numbered(3), None]:
        queue.put(item)
    assert await all_of(feed, 10) == numbered(3)


async def test_a_waiting_feed_reads_no_further_ahead_than_it_holds() -> None:
    read = 0
    held = threading.Event()

    def source() -> Iterator[Item]:
        nonlocal read
        for read, item in enumerate(numbered(30_000), start=1):
            if read == 10_001:
                held.set()
            yield item

    feed = WaitingFeed(source())
    await asyncio.to_thread(held.wait)
    assert read == 10_001
    assert len(await all_of(feed, 1000)) == 30_000


@pytest.mark.parametrize("kind", [DirectFeed, WaitingFeed])
async def test_an_error_of_the_source_comes_after_what_it_brought(
    kind: type[DirectFeed | WaitingFeed],
) -> None:
    def source() -> Iterator[Item]:
        yield from numbered(1)
        raise InputError("damaged")

    feed = kind(source())
    if kind is WaitingFeed:
        assert await feed.take(10) == numbered(1)
    with pytest.raises(InputError, match="damaged"):
        await feed.take(10)
