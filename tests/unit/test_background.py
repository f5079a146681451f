"""Work that runs for as long as somebody needs it."""

import asyncio
import logging

import pytest

from infra.runtime.background import OnDemand, background


class Work:
    """Fails so many times; then it runs while it is wanted, and notes when it does."""

    def __init__(self, *errors: Exception, linger_seconds: float = 0.0, longest_wait: float = 5.0) -> None:
        self._errors = list(errors)
        self.begun = 0
        self.under_way = asyncio.Event()
        self.ended = asyncio.Event()
        self.tried = asyncio.Event()
        self.rested = asyncio.Event()
        self.demand = OnDemand(
            "work",
            self,
            transient=(OSError,),
            linger_seconds=linger_seconds,
            longest_wait=longest_wait,
            at_rest=self.rested.set,
        )

    async def __call__(self) -> None:
        self.begun += 1
        self.tried.set()
        if self._errors:
            raise self._errors.pop(0)
        self.demand.succeeded()
        self.under_way.set()
        while self.demand.wanted:  # noqa: ASYNC110 - as its users look, between two requests
            await asyncio.sleep(0)
        self.under_way.clear()
        self.ended.set()


async def test_a_background_task_has_ended_when_its_block_has() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async with background(forever(), name="forever"):
        await asyncio.sleep(0)
        assert not ended.is_set()
    assert ended.is_set()


async def test_work_begins_with_its_first_user_and_ends_after_the_last() -> None:
    work = Work()
    async with asyncio.timeout(30), background(work.demand.run(), name="work"):
        await asyncio.sleep(0)
        assert work.begun == 0
        for round_number in (1, 2):
            with work.demand.in_use(), work.demand.in_use():
                await work.under_way.wait()
                assert work.demand.users == 2
            await work.ended.wait()
            work.ended.clear()
            assert work.begun == round_number


async def test_it_lingers_for_the_next_user() -> None:
    work = Work(linger_seconds=60)
    async with asyncio.timeout(30), background(work.demand.run(), name="work"):
        with work.demand.in_use():
            await work.under_way.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert work.under_way.is_set()
        with work.demand.in_use():
            assert work.begun == 1


async def test_an_outage_is_logged_once_and_what_is_not_expected_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    work = Work(OSError("away"), OSError("away"), KeyError("a fault"))
    async with asyncio.timeout(30), background(work.demand.run(), name="work"):
        with work.demand.in_use():
            await work.under_way.wait()
    assert work.begun == 4
    assert [(record.levelno, record.exc_info is not None) for record in caplog.records] == [
        (logging.WARNING, False),
        (logging.ERROR, True),
        (logging.INFO, False),
    ]


async def test_work_that_fails_rests_when_it_is_no_longer_wanted() -> None:
    work = Work(*[OSError("away")] * 100)
    async with asyncio.timeout(30), background(work.demand.run(), name="work"):
        with work.demand.in_use():
            await work.tried.wait()
        await work.rested.wait()
        assert work.begun == 1
        for event in (work.tried, work.rested):
            event.clear()
        with work.demand.in_use():
            await work.tried.wait()
            assert not work.rested.is_set()
        await work.rested.wait()
        assert work.begun == 2


async def test_work_rests_once_it_has_ended_and_nobody_came_since() -> None:
    work = Work()
    async with asyncio.timeout(30), background(work.demand.run(), name="work"):
        with work.demand.in_use():
            await work.under_way.wait()
            assert not work.rested.is_set()
        await work.rested.wait()
        assert work.begun == 1


async def test_no_wait_between_two_attempts_is_longer_than_the_longest() -> None:
    work = Work(*[OSError("away")] * 12, longest_wait=0.01)
    async with asyncio.timeout(5), background(work.demand.run(), name="work"):
        with work.demand.in_use():
            await work.under_way.wait()
