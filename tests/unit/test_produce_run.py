"""From a feed to the sender."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from infra.produce.feed import DirectFeed, WaitingFeed
from infra.produce.files import InputError
from infra.produce.pace import Pace
from infra.produce.records import Item, Record, Rejected, Source
from infra.produce.run import run
from infra.produce.sender import DeliveryError
from infra.produce.tally import Tally


class RecordingOutlet:
    """Keeps what it is given, and says how much of it had gone out."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.taken: list[Record] = []
        self.submitted = 0
        self.finished = False
        self.news = asyncio.Event()
        self._fails_at = fails_at

    async def send(self, record: Record) -> None:
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


def numbered(count: int) -> list[Item]:
    return [Record(None, str(number).encode()) for number in range(count)]


async def run_all(
    source: Source,
    outlet: RecordingOutlet,
    *,
    rate: float | None = None,
    limit: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Tally:
    tally = Tally()
    await run(
        DirectFeed(source),
        outlet,
        tally=tally,
        pace=Pace(rate),
        stop=asyncio.Event(),
        limit=limit,
        watch=watch,
    )
    return tally


async def test_everything_arrives_in_order_and_rejected_rows_are_counted() -> None:
    outlet = RecordingOutlet()
    items = numbered(1200)
    items.insert(700, Rejected(701, "amount", "negative"))
    tally = await run_all(iter(items), outlet)
    assert outlet.taken == numbered(1200)
    assert outlet.finished
    assert (tally.taken, tally.rejected) == (1200, {"amount": 1})


@pytest.mark.parametrize("limit", [1, 499, 500, 501, 1000])
async def test_no_more_than_the_limit_is_sent(limit: int) -> None:
    outlet = RecordingOutlet()
    source = iter(numbered(2000))
    await run_all(source, outlet, limit=limit)
    assert outlet.taken == numbered(2000)[:limit]
    assert len(list(source)) == 2000 - limit


async def test_rows_that_are_rejected_do_not_count_towards_the_limit() -> None:
    outlet = RecordingOutlet()
    await run_all(iter([Rejected(1, "id", "missing"), *numbered(5)]), outlet, limit=3)
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
    tally = Tally()
    running = asyncio.ensure_future(
        run(WaitingFeed(source()), outlet, tally=tally, pace=Pace(None), stop=stop)
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
        run(DirectFeed(iter(numbered(9))), outlet, tally=Tally(), pace=Pace(0.001), stop=stop)
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
