"""Who waits for verdicts is told of those, and of no other."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from api.live.verdicts import VerdictWaiters, Waiting
from schemas.dead_letter import Place
from schemas.scored import source_headers
from tests.support.rows import Made, made, user

ALICE, BOB = user(1), user(2)


@dataclass
class Record:
    """As the feed's consumer gives it."""

    made: Made
    headers: list[tuple[str, bytes]]

    @property
    def key(self) -> bytes:
        return self.made.txn.user_id.encode()

    @property
    def value(self) -> bytes:
        return self.made.row


def scored(one: Made, partition: int = 0, offset: int = 0) -> Any:
    return Record(one, source_headers(partition)(offset))


def waiting_for(*ones: Made) -> Waiting:
    return Waiting([one.txn for one in ones])


async def test_it_is_told_when_the_last_of_them_comes() -> None:
    first, second, other = made(ALICE, 1), made(BOB, 2), made(ALICE, 3)
    waiters, waiting = VerdictWaiters(), waiting_for(first, second)
    with waiters.told(waiting):
        for one in (other, second):
            waiters.hear(scored(one))
        await waiting.wait(0)
        assert not waiting.complete
        waiters.hear(scored(first))
        await waiting.wait(10)
    assert waiting.complete
    assert [one.row for one in waiting.awaited] == [first.row, second.row]
    assert not waiters.keys


async def test_all_who_wait_for_one_are_told_and_the_first_row_stays() -> None:
    one, revised = made(ALICE, 1), made(ALICE, 1, status="reversed", revision=2)
    waiters, several = VerdictWaiters(), [waiting_for(one) for _ in range(3)]
    with waiters.told(several[0]), waiters.told(several[1]):
        waiters.hear(scored(one))
        waiters.hear(scored(revised))
    with waiters.told(several[2]):
        waiters.hear(scored(revised))  # of the same id, and not what was sent
    assert [waiting.awaited[0].row for waiting in several] == [one.row, one.row, None]


async def test_a_row_is_known_by_its_place_where_its_content_does_not_tell() -> None:
    sent, shown = made(ALICE, 1), made(ALICE, 1, meta_data={"evidence of an installed detector": 7})
    waiters, waiting = VerdictWaiters(), waiting_for(sent)
    with waiters.told(waiting):
        waiters.hear(scored(shown, 2, 17))
        waiting.awaited[0].place = Place(2, 18)
        waiters.hear(scored(shown, 2, 17))
        assert not waiting.complete
        waiters.hear(scored(shown, 2, 18))
    assert waiting.complete


@pytest.mark.parametrize("ends", ["time", "the process"])
async def test_nobody_waits_for_longer_than_he_wants(ends: str) -> None:
    waiters, waiting = VerdictWaiters(), waiting_for(made(ALICE))
    with waiters.told(waiting):
        wait = asyncio.create_task(waiting.wait(0.01 if ends == "time" else 100))
        await asyncio.sleep(0)
        if ends == "the process":
            waiters.close()
        await asyncio.wait_for(wait, 5)
    assert not waiting.complete
