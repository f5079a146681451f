"""Users on partitions that they do not belong on are noticed, counted and said."""

import logging
from collections.abc import Iterable
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from infra.runtime.partitioners import Name, partition_of
from schemas.placement import Placement
from stream_app.batch import Batch
from stream_app.state.placement import KeyPlacement

PARTITIONS = 4
RANDOM = Random(1)
USERS = [str(UUID(int=RANDOM.getrandbits(128))).encode() for _ in range(400)]


def batch(partition: int, keys: Iterable[bytes | None]) -> Batch:
    records: list[Any] = [SimpleNamespace(key=key, offset=offset) for offset, key in enumerate(keys)]
    return Batch(partition, records)


def batches(name: Name, users: Iterable[bytes] = USERS) -> list[Batch]:
    """These users, each on the partition that this partitioner gives."""
    users = list(users)
    return [
        batch(number, [user for user in users if partition_of(name, user, PARTITIONS) == number])
        for number in range(PARTITIONS)
    ]


class Watched:
    """A placement with what it said and counted."""

    def __init__(self, partitioner: Any, caplog: pytest.LogCaptureFixture) -> None:
        self.now, self.counted = 0.0, 0.0
        self._caplog = caplog
        caplog.set_level(logging.INFO, "stream_app.state.placement")
        self.placement = KeyPlacement(partitioner, self._count, clock=lambda: self.now)

    def _count(self, number: float) -> None:
        self.counted += number

    def look(self, *given: Batch) -> None:
        for one in given:
            self.placement.look(one, PARTITIONS)

    def said(self) -> list[str]:
        """The lines since this was asked last."""
        lines = [record.getMessage() for record in self._caplog.records]
        self._caplog.clear()
        return lines


@pytest.mark.parametrize("name", ["murmur2", "crc32", "fnv1a"])
def test_users_where_they_belong_are_nothing_to_say(name: Name, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(name, caplog)
    watched.look(*batches(name), *batches(name))

    assert (watched.said(), watched.counted) == ([], 0)
    assert watched.placement.seen() == Placement(name, 0)


def test_the_first_user_elsewhere_is_said_at_once_with_the_remedy_and_later_ones_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched("murmur2", caplog)
    stray, other = (user for user in USERS[:40] if partition_of("murmur2", user, PARTITIONS) == 0), USERS[-1]
    first, second = next(stray), next(stray)
    watched.look(*batches("murmur2", USERS[50:90]))
    watched.look(batch(3, [first]))

    [line] = watched.said()
    assert "a user of offset 0 is on partition 3, but murmur2 (TXNWATCH_PARTITIONER) puts it on 0" in line
    assert "two windows" in line
    assert "Have all producers use one partitioner" in line

    watched.look(batch(3, [first, second, other]), batch(3, [first]))
    assert watched.said() == []
    assert watched.counted == watched.placement.misplaced >= 2  # `first` counts once

    watched.now += 601
    watched.look(batch(2, [first]))
    assert len(watched.said()) == 1


def test_where_another_partitioner_fits_all_it_is_named(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched("murmur2", caplog)
    watched.look(*batches("crc32"))

    assert "crc32 fits" in (line := watched.said()[0])
    assert "set TXNWATCH_PARTITIONER=crc32" in line


def test_auto_learns_from_the_first_users_and_then_notices_others(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched("auto", caplog)
    watched.look(*batches("crc32", USERS[:10]))
    assert watched.placement.seen() == Placement(None, 0)
    watched.look(*batches("crc32", USERS[10:200]))
    assert watched.placement.seen() == Placement("crc32", 0)
    assert ["crc32 fits" in line for line in watched.said()] == [True]

    watched.look(*batches("murmur2", USERS[200:]))
    assert watched.placement.misplaced > 50
    assert "puts it on" in watched.said()[0]


def test_a_large_batch_has_only_some_looked_at_and_a_foreign_key_is_no_user(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched("murmur2", caplog)
    wrong = [user for user in USERS if partition_of("murmur2", user, PARTITIONS) != 0]
    watched.look(batch(0, [b"x", None, b""]))
    assert watched.counted == 0
    watched.look(batch(0, (wrong * 10)[:2000]))
    assert 20 < watched.counted <= 50


def test_of_one_partition_everybody_is_on_it(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched("murmur2", caplog)
    watched.placement.look(batch(0, USERS), 1)
    assert (watched.said(), watched.counted) == ([], 0)


def test_whoever_keeps_coming_counts_once_however_many_others_come(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched("murmur2", caplog)
    stray = next(user for user in USERS if partition_of("murmur2", user, PARTITIONS) != 0)
    others = [b"%036d" % number for number in range(100_000)]
    at_home = [user for user in others if partition_of("murmur2", user, PARTITIONS) == 0]
    for start in range(0, len(at_home), 48):
        watched.look(batch(0, [stray, *at_home[start : start + 48]]))

    assert watched.placement.misplaced == 1
