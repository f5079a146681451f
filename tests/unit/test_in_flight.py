"""The room that all partitions of a worker share for what they have in flight."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from stream_app.faust_adapter import in_flight
from stream_app.faust_adapter.in_flight import InFlight


def batch(whole: InFlight, wanted: int) -> asyncio.Task[AsyncExitStack]:
    """A batch that asks for room, which it has once the task is done, until the stack is closed."""

    async def enter() -> AsyncExitStack:
        stack = AsyncExitStack()
        await stack.enter_async_context(whole.room(wanted))
        return stack

    return asyncio.create_task(enter())


async def entering(whole: InFlight, wanted: int) -> asyncio.Task[AsyncExitStack]:
    """One that has asked."""
    task = batch(whole, wanted)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_batches_are_let_in_in_their_order_as_far_as_their_records_fit() -> None:
    whole = InFlight(most_records=10, most_bytes=1000)
    tasks = [await entering(whole, wanted) for wanted in (6, 4, 3, 1)]
    assert [task.done() for task in tasks] == [True, True, False, False]

    await (await tasks[1]).aclose()
    assert [(await task) is not None for task in tasks[2:]] == [True, True]
    for task in (tasks[0], *tasks[2:]):
        await (await task).aclose()

    assert (whole.records, whole.bytes) == (0, 0)


async def test_what_a_batch_did_not_take_is_there_for_the_next_and_bytes_count() -> None:
    whole = InFlight(most_records=10, most_bytes=1000)
    async with whole.room(10) as share:
        second = await entering(whole, 5)
        assert not second.done()
        share.take(2, 1000)
        await asyncio.sleep(0)
        assert not second.done()
    await (await second).aclose()

    async with whole.room(10) as share:
        second = await entering(whole, 5)
        share.take(2, 999)
        await (await second).aclose()
    assert (whole.records, whole.bytes) == (0, 0)


async def test_a_batch_larger_than_all_room_gets_what_there_is_alone() -> None:
    whole = InFlight(most_records=10, most_bytes=1)
    async with whole.room(50) as share:
        assert share.records == 10
        share.take(10, 5000)
    assert (whole.records, whole.bytes) == (0, 0)


@pytest.mark.parametrize("let_in", [False, True], ids=["waiting", "just let in"])
async def test_one_that_is_cancelled_keeps_no_room_from_others(*, let_in: bool) -> None:
    whole = InFlight(most_records=10, most_bytes=1000)
    first, cancelled, third = [await entering(whole, wanted) for wanted in (10, 10, 10)]
    if let_in:
        await (await first).aclose()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    if not let_in:
        await (await first).aclose()

    async with asyncio.timeout(10):
        await (await third).aclose()
    assert whole.records == 0


async def test_holder_and_waiter_that_are_cancelled_together_leave_nothing_taken() -> None:
    whole = InFlight(most_records=10, most_bytes=1000)

    async def hold() -> None:
        async with whole.room(10):
            await asyncio.get_running_loop().create_future()

    tasks = [asyncio.create_task(hold()) for _ in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()

    ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    assert whole.records == 0


async def test_a_wait_for_room_that_lasts_is_said_once_for_all_who_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_flight, "_SAY_SECONDS", 0.01)
    whole = InFlight(most_records=10, most_bytes=1000)
    async with whole.room(10) as share:
        share.take(10, 400)
        tasks = [await entering(whole, 5) for _ in range(2)]
        await asyncio.wait(tasks, timeout=0.1)  # ten times as long
    for task in tasks:
        await (await task).aclose()

    (said,) = caplog.messages
    assert "2 partitions wait for room" in said
    assert "others have 10 messages of 400 bytes in flight" in said


async def test_what_is_stuck_leaves_room_for_others_and_is_bounded_however_much_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_flight, "_STUCK_SECONDS", 0.01)
    whole = InFlight(most_records=1000, most_bytes=1 << 20)
    tasks = [batch(whole, 250) for _ in range(40)]
    await asyncio.sleep(0)  # all ask in one turn of the loop: in none of it anything is stuck already
    assert [task.done() for task in tasks] == [True] * 4 + [False] * 36

    async with asyncio.timeout(10):
        granted = [(await task).pop_all() for task in tasks[:10]]

    assert whole.records <= 1500
    for one in granted:
        await one.aclose()
    async with asyncio.timeout(10):
        for task in tasks[10:]:
            await (await task).aclose()
    assert (whole.records, whole.bytes) == (0, 0)


async def test_beside_what_is_stuck_the_others_have_whole_batches_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_flight, "_STUCK_SECONDS", 0.01)
    whole = InFlight(most_records=1000, most_bytes=1 << 20)
    async with AsyncExitStack() as stuck:
        for _ in range(4):
            (await stuck.enter_async_context(whole.room(250))).take(250, 1 << 18)
        for _ in range(3):
            async with asyncio.timeout(10), whole.room(250) as share:
                assert share.records == 250
                share.take(250, 1 << 18)
