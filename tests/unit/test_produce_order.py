"""The order of a file's rows is looked at before any is sent."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from infra.produce.files import InputError
from infra.produce.order import check_order, in_order
from infra.produce.report import Outcomes
from infra.produce.rows import Item, ProducerRecord, RejectedRow
from infra.produce.sending import CheckedFeed, DirectFeed, RateLimit, Sending, WaitingFeed
from tests.support.installation import until

START = datetime(2024, 1, 1, tzinfo=UTC)


def records(days: list[float], users: int = 1) -> list[ProducerRecord]:
    return [
        ProducerRecord(b"%d" % (number % users), b"%d" % number, START + timedelta(days=day))
        for number, day in enumerate(days)
    ]


@pytest.mark.parametrize(
    ("days", "users", "all_of_them"),
    [
        ([1, 2, 3, 4], 1, True),
        ([2, 2, 2], 1, True),
        ([5, 1], 2, True),  # of two users
        ([1, 2, 3, 0.5, *range(3, 40)], 1, False),  # one is late
        ([2, 1, 3], 3, False),  # of a pipe, so far: one is late, of another user
        ([2, 1], 1, False),
        ([day - (day % 4 == 3) * 1.5 for day in range(40)], 40, False),  # a quarter is late, of other users
        ([], 1, True),
        (
            [user + day * 10 for day in range(9) for user in (3, 2, 1)],
            3,
            False,
        ),  # each user's own are in order
    ],
)
def test_what_is_in_order_is_sent(days: list[float], users: int, all_of_them: bool) -> None:  # noqa: FBT001 - a parameter
    check_order(records(days, users), all_of_them)


@pytest.mark.parametrize(
    ("days", "users", "all_of_them", "said"),
    [
        (list(range(40, 0, -1)), 1, False, "the newest row comes first"),
        ([2, 1], 1, True, "the newest row comes first"),
        (list(range(40, 0, -1)), 40, False, "the newest row comes first"),  # a user's next rows are to come
        (Random(1).sample(range(1000), 1000), 7, True, "the rows are not in the order of their dates"),
    ],
)
def test_what_is_not_in_order_is_refused_with_both_ways_on(
    days: list[float],
    users: int,
    all_of_them: bool,  # noqa: FBT001 - a parameter
    said: str,
) -> None:
    with pytest.raises(InputError, match=rf"{said}: .*--sort.*--as-is"):
        check_order(records(days, users), all_of_them)


def test_sorted_rows_come_by_date_and_those_of_a_date_in_their_order() -> None:
    given = records([3, 1, 2, 1, 3])
    bad = RejectedRow(2, "amount", "")
    items: list[Item] = [given[0], bad, *given[1:]]

    assert list(in_order(items)) == [bad, *(given[number] for number in (1, 3, 2, 0, 4))]


class Collected:
    """An outlet that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[ProducerRecord] = []

    async def send(self, record: ProducerRecord) -> None:
        self.sent.append(record)

    async def submit(self) -> None: ...

    async def finish(self) -> None: ...


async def send(source: Iterator[Item], *, waits: bool) -> list[ProducerRecord]:
    outlet, outcomes = Collected(), Outcomes()
    feed = CheckedFeed(WaitingFeed(source) if waits else DirectFeed(source), check_order)
    try:
        await Sending(feed, outlet, outcomes, RateLimit(None), asyncio.Event()).run()
    except InputError:
        assert outlet.sent == []
        raise
    return outlet.sent


@pytest.mark.parametrize("waits", [False, True])
async def test_nothing_of_a_file_is_sent_before_its_first_rows_were_looked_at(*, waits: bool) -> None:
    given = records([float(day) for day in range(12_000)])
    assert await send(iter(given), waits=waits) == given
    with pytest.raises(InputError):
        await send(iter(given[5000::-1]), waits=waits)
    assert await send(iter([]), waits=waits) == []


async def test_what_waits_for_more_is_sent_after_a_moment() -> None:
    given = records([1, 2, 3])
    outlet, stop, more = Collected(), asyncio.Event(), asyncio.Event()

    def source() -> Iterator[Item]:
        yield from given
        asyncio.run_coroutine_threadsafe(more.wait(), loop).result()

    async def has_all() -> bool:
        return outlet.sent == given

    loop = asyncio.get_running_loop()
    feed = CheckedFeed(WaitingFeed(source()), check_order)
    sending = asyncio.create_task(Sending(feed, outlet, Outcomes(), RateLimit(None), stop).run())
    await until(has_all)
    more.set()
    await sending
