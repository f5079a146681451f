"""A history at its own pace."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import click
import pytest

from infra.produce.pacing import PacedFeed, SpeedType
from infra.produce.rows import Item, ProducerRecord, RejectedRow
from infra.produce.sending import DirectFeed

START = datetime(2018, 4, 21, tzinfo=UTC)


def at(seconds: float) -> ProducerRecord:
    return ProducerRecord(None, str(seconds).encode(), START + timedelta(seconds=seconds))


async def test_items_come_when_it_is_their_time_and_late_ones_at_once() -> None:
    bad = RejectedRow(4, "amount", "")
    items: list[Item] = [at(0), at(1), at(6), bad, at(2), ProducerRecord(None, b"undated"), at(12)]
    feed, began, came = PacedFeed(DirectFeed(iter(items)), 60), time.monotonic(), []
    while taken := await feed.take(500):
        came += [(item, time.monotonic() - began) for item in taken]

    assert [item for item, _ in came] == items
    for (_, seconds), due in zip(came, [0, 1, 6, 6, 6, 6, 12], strict=True):
        assert seconds >= due / 60
    assert came[1][1] < 6 / 60 or came[2][1] > came[1][1]


async def test_a_wait_that_is_called_off_loses_nothing() -> None:
    now = 0.0
    feed = PacedFeed(DirectFeed(iter([at(0), at(3600)])), 1, lambda: now)
    assert await feed.take(10) == [at(0)]
    assert not feed.ready
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(feed.take(10), 0.01)
    now = 3600.0
    assert await feed.take(10) == [at(3600)]
    assert await feed.take(10) == []


@pytest.mark.parametrize(("text", "speed"), [("60x", 60), ("1", 1), ("0.5x", 0.5)])
def test_a_speed_is_a_number_of_times(text: str, speed: float) -> None:
    assert SpeedType().convert(text, None, None) == speed


@pytest.mark.parametrize("text", ["0", "0x", "-1x", "x", "1y", "inf", "nan", "1e3"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no speed such as 60x"):
        SpeedType().convert(text, None, None)
