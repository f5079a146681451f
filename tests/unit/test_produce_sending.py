"""Sending of items: feeds, the rate, and from a feed to an outlet."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from infra.produce.delivery import DeliveryError
from infra.produce.files import InputError
from infra.produce.report import Outcomes
from infra.produce.rows import Item, ProducerRecord, RejectedRow, Source
from infra.produce.sending import UNLIMITED, DirectFeed, Feed, RateLimit, Sending, WaitingFeed


def numbered(count: int) -> list[Item]:
    return [ProducerRecord(None, str(number).encode()) for number in range(count)]


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


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def sent_over(seconds: float, rate: float, step: float) -> int:
    """How many go in that time when somebody looks every step and sends all that may go."""
    clock = Clock()
    rate_limit, sent = RateLimit(rate, clock), 0
    for _ in range(round(seconds / step)):
        sent += rate_limit.room()
        rate_limit.spend(rate_limit.room())
        clock.now += step
    return sent


def test_the_first_goes_at_once() -> None:
    assert RateLimit(0.001, Clock()).room() == 1


def test_over_time_the_rate_is_kept_however_often_somebody_looks() -> None:
    assert 990 <= sent_over(10, rate=100, step=0.001) <= 1001
    assert 990 <= sent_over(10, rate=100, step=0.1) <= 1001
    assert 19_800 <= sent_over(10, rate=2000, step=0.02) <= 20_001


def test_a_rate_below_one_a_second_is_kept() -> None:
    assert sent_over(100, rate=0.1, step=0.5) in {10, 11}


def test_after_a_stall_there_is_no_burst() -> None:
    clock = Clock()
    rate_limit = RateLimit(100, clock)
    clock.now += 3600
    assert rate_limit.room() == 100


def test_the_wait_is_until_the_next_may_go() -> None:
    clock = Clock()
    rate_limit = RateLimit(2, clock)
    rate_limit.spend(rate_limit.room())
    assert rate_limit.wait_seconds() == 0.5
    clock.now += rate_limit.wait_seconds()
    assert rate_limit.room() == 1


def test_without_a_rate_there_is_no_limit() -> None:
    rate_limit = RateLimit(None, Clock())
    rate_limit.spend(10**9)
    assert rate_limit.room() == UNLIMITED


class RecordingOutlet:
    """Keeps what it is given, and says how much of it had gone out."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.taken: list[ProducerRecord] = []
        self.submitted = 0
        self.finished = False
        self.news = asyncio.Event()
        self._fails_at = fails_at

    async def send(self, record: ProducerRecord) -> None:
        if len(self.taken) == self._fails_at:
            raise DeliveryError("the broker is gone")
        self.taken.append(record)

    async def submit(self) -> None:
        if self.submitted < len(self.taken):
            self.submitted = len(self.taken)
            self.news.set()

    async def finish(self) -> None:
        await self.submit()
        self.finished = True


async def run_all(
    source: Source,
    outlet: RecordingOutlet,
    *,
    rate: float | None = None,
    limit: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Outcomes:
    outcomes = Outcomes()
    await Sending(
        DirectFeed(source), outlet, outcomes, RateLimit(rate), asyncio.Event(), limit=limit, watch=watch
    ).run()
    return outcomes


async def test_everything_arrives_in_order_and_rejected_rows_are_counted() -> None:
    outlet = RecordingOutlet()
    items = numbered(1200)
    items.insert(700, RejectedRow(701, "amount", "negative"))
    outcomes = await run_all(iter(items), outlet)
    assert outlet.taken == numbered(1200)
    assert outlet.finished
    assert (outcomes.taken, outcomes.rejected) == (1200, {"amount": 1})


@pytest.mark.parametrize("limit", [1, 499, 500, 501, 1000])
async def test_no_more_than_the_limit_is_sent(limit: int) -> None:
    outlet = RecordingOutlet()
    source = iter(numbered(2000))
    await run_all(source, outlet, limit=limit)
    assert outlet.taken == numbered(2000)[:limit]
    assert len(list(source)) == 2000 - limit


async def test_rows_that_are_rejected_do_not_count_towards_the_limit() -> None:
    outlet = RecordingOutlet()
    await run_all(iter([RejectedRow(1, "id", "missing"), *numbered(5)]), outlet, limit=3)
    assert len(outlet.taken) == 3


async def test_what_has_its_time_goes_out_although_no_batch_is_full() -> None:
    outlet = RecordingOutlet()
    seen: list[tuple[int, int]] = []
    await run_all(
        iter(numbered(20)), outlet, rate=200, watch=lambda: seen.append((len(outlet.taken), outlet.submitted))
    )
    assert any(0 < submitted == taken < 20 for taken, submitted in seen)


async def test_a_rate_is_kept() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await run_all(iter(numbered(41)), RecordingOutlet(), rate=100)
    assert 0.4 <= loop.time() - started < 2


async def test_while_the_feed_waits_what_was_taken_goes_out_and_a_stop_ends_it() -> None:
    stop, release = asyncio.Event(), threading.Event()

    def source() -> Source:
        yield from numbered(3)
        release.wait()

    outlet = RecordingOutlet()
    running = asyncio.ensure_future(
        Sending(WaitingFeed(source()), outlet, Outcomes(), RateLimit(None), stop).run()
    )
    while outlet.submitted < 3:
        outlet.news.clear()
        await outlet.news.wait()
    assert not outlet.finished
    stop.set()
    await running
    assert outlet.finished
    assert outlet.taken == numbered(3)
    release.set()


async def test_a_stop_ends_a_slow_rate_at_once() -> None:
    outlet, stop = RecordingOutlet(), asyncio.Event()
    running = asyncio.ensure_future(
        Sending(DirectFeed(iter(numbered(9))), outlet, Outcomes(), RateLimit(0.001), stop).run()
    )
    await outlet.news.wait()
    stop.set()
    await asyncio.wait_for(running, 5)
    assert outlet.taken == numbered(1)
    assert outlet.finished


async def test_what_came_before_damaged_input_arrives() -> None:
    def source() -> Source:
        yield from numbered(500)
        raise InputError("damaged")

    outlet = RecordingOutlet()
    with pytest.raises(InputError):
        await run_all(source(), outlet)
    assert outlet.taken == numbered(500)
    assert outlet.finished


async def test_a_failed_delivery_ends_it() -> None:
    outlet = RecordingOutlet(fails_at=7)
    with pytest.raises(DeliveryError):
        await run_all(iter(numbered(100)), outlet)
    assert len(outlet.taken) == 7
    assert not outlet.finished
