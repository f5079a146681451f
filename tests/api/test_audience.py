import asyncio

import pytest

from api.audience import Audience, Subscription


class Cut:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def test_frames_wait_in_order_and_are_taken_together() -> None:
    subscription = Subscription(None, 100, Cut())
    assert subscription.push(b"a")
    assert subscription.push(b"b")
    assert await subscription.take(1) == b"ab"


async def test_taking_ends_without_a_frame_when_none_comes() -> None:
    assert await Subscription(None, 100, Cut()).take(0.001) == b""


async def test_a_frame_ends_the_waiting() -> None:
    subscription = Subscription(None, 100, Cut())
    taking = asyncio.create_task(subscription.take(60))
    await asyncio.sleep(0)
    subscription.push(b"a")
    assert await taking == b"a"


async def test_who_lets_too_much_wait_is_cut_off_and_gets_nothing_after_the_hole() -> None:
    cut = Cut()
    subscription = Subscription(None, 4, cut)
    assert subscription.push(b"abc")
    assert not subscription.push(b"de")
    assert cut.times == 1
    with pytest.raises(ConnectionError):
        await subscription.take(1)


async def test_one_frame_may_be_larger_than_the_limit() -> None:
    subscription = Subscription(None, 4, Cut())
    assert subscription.push(b"abcdefgh")
    assert await subscription.take(1) == b"abcdefgh"


async def test_a_record_reaches_those_of_its_key_and_those_of_all() -> None:
    audience = Audience()
    mine, others, everything = (Subscription(key, 1, Cut()) for key in (b"mine", b"others", None))
    with audience.joined(mine), audience.joined(others), audience.joined(everything):
        assert set(audience.of(b"mine")) == {mine, everything}
        assert audience.of(b"nobody's") == (everything,)
        assert audience.of(None) == (everything,)
        assert set(audience.everyone()) == {mine, others, everything}
    assert audience.of(b"mine") == ()


async def test_leaving_keeps_the_others_of_the_same_key() -> None:
    audience = Audience()
    first, second = (Subscription(b"k", 1, Cut()) for _ in range(2))
    with audience.joined(first):
        with audience.joined(second):
            audience.discard(second)
        assert audience.of(b"k") == (first,)
