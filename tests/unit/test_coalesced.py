"""Requests that are shared."""

import asyncio
import gc

import pytest

from infra.runtime.coalesced import Coalesced


class Question:
    """Answered one by one, as the test says; each answer is how many there were."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        if (error := await self.answers.get()) is not None:
            raise error
        return number


async def came(coalesced: Coalesced[int], count: int) -> list[asyncio.Task[int]]:
    """Tasks that have asked."""
    tasks = [asyncio.create_task(coalesced.answer()) for _ in range(count)]
    await asyncio.sleep(0)  # each runs up to where it waits
    await asyncio.sleep(0)  # and so does the question
    return tasks


async def test_who_comes_while_a_question_is_under_way_shares_the_next_one() -> None:
    question = Question()
    coalesced = Coalesced(question)
    first = await came(coalesced, 1)
    others = await came(coalesced, 1000)
    assert question.asked == 1
    question.answers.put_nowait(None)
    question.answers.put_nowait(None)
    assert await asyncio.gather(*first) == [1]
    assert await asyncio.gather(*others) == [2] * 1000
    assert question.asked == 2


async def test_an_error_is_for_those_who_asked_and_for_no_later_one() -> None:
    question = Question()
    coalesced = Coalesced(question)
    tasks = await came(coalesced, 3)
    question.answers.put_nowait(OSError("away"))
    for task in tasks:
        with pytest.raises(OSError, match="away"):
            await task
    later = await came(coalesced, 1)
    question.answers.put_nowait(None)
    assert await later[0] == 2


async def test_an_error_that_nobody_is_left_to_hear_is_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    question = Question()
    [leaving] = await came(Coalesced(question), 1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    question.answers.put_nowait(OSError("away"))
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait([task])
        del task
    gc.collect()
    assert not caplog.records


async def test_who_leaves_takes_the_answer_from_nobody() -> None:
    question = Question()
    coalesced = Coalesced(question)
    leaving, staying = await came(coalesced, 2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    question.answers.put_nowait(None)
    assert await staying == 1


async def test_an_answer_that_is_young_enough_is_given_without_a_request() -> None:
    question = Question()
    coalesced = Coalesced(question, max_age=60)
    for _ in range(3):
        question.answers.put_nowait(None)
        assert await coalesced.answer() == 1
    assert question.asked == 1
