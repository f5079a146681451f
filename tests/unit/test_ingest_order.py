"""Records of several partitions by their timestamps, whatever arrives when."""

import logging
from random import Random
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from infra.ingest.ordering import Arrived, Merged, OneForAll, Reached, SpreadUsers
from tests.support.foreign_topics import Foreign, partition

ZERO, ONE, TWO = map(partition, range(3))
LONG_AGO = Reached(at_end=True, seen_ms=0)
MORE = Reached(at_end=False, seen_ms=10_000_000)


def records(*timestamps: int) -> list[Any]:
    return [Foreign(b"{}", offset, timestamp) for offset, timestamp in enumerate(timestamps)]


def stamps(taken: Any) -> list[tuple[int, int]]:
    return [(source.partition, record.timestamp) for source, record in taken]


def test_as_they_arrive_nothing_waits() -> None:
    order = Arrived()
    order.put({ONE: records(5, 1), ZERO: records(3)})

    assert stamps(order.take({ZERO: MORE, ONE: MORE})) == [(1, 5), (1, 1), (0, 3)]
    assert stamps(order.take({ZERO: MORE})) == []


def test_nothing_is_taken_before_what_another_partition_may_still_bring() -> None:
    order = Merged(1)
    order.put({ZERO: records(10, 20, 30), ONE: records(15, 20)})

    assert stamps(order.take({ZERO: MORE, ONE: MORE, TWO: MORE})) == []
    order.put({TWO: records(12, 40)})
    assert stamps(order.take({ZERO: MORE, ONE: MORE, TWO: MORE})) == [
        (0, 10), (2, 12), (1, 15), (0, 20), (1, 20),
    ]  # fmt: skip
    assert stamps(order.take({ZERO: MORE, ONE: MORE, TWO: MORE})) == []


def test_at_the_end_of_a_partition_what_is_late_is_waited_for() -> None:
    order = Merged(1)
    order.put({ZERO: records(5_000, 6_000)})

    def taken(seen_ms: int) -> list[tuple[int, int]]:
        return stamps(order.take({ZERO: Reached(at_end=True, seen_ms=seen_ms), ONE: Reached(True, seen_ms)}))  # noqa: FBT003

    assert taken(5_999) == []
    assert taken(6_000) == [(0, 5_000)]
    order.put({ONE: records(5_500)})
    assert taken(7_000) == [(1, 5_500), (0, 6_000)]


def test_a_partition_keeps_its_order_where_timestamps_fall() -> None:
    order = Merged(1)
    order.put({ZERO: records(10, 5, 11), ONE: records(7, 10, 12)})

    assert stamps(order.take({ZERO: MORE, ONE: MORE})) == [(1, 7), (0, 10), (0, 5), (1, 10), (0, 11)]


def test_many_records_of_one_timestamp_hold_nothing_up() -> None:
    order = Merged(1)
    order.put({ZERO: records(*[7] * 100), ONE: records(*[7] * 100)})

    assert len(order.take({ZERO: MORE, ONE: MORE})) == 100
    order.put({ZERO: records(8)})
    assert len(order.take({ZERO: MORE, ONE: MORE})) == 100


@pytest.mark.parametrize("seed", range(20))
def test_however_it_is_fetched_the_order_is_that_of_all_sorted(seed: int) -> None:
    random = Random(seed)
    sources = [partition(number) for number in range(4)]
    every = {source: records(*sorted(random.randrange(50) for _ in range(60))) for source in sources}
    order, left, taken = Merged(0.01), {source: list(its) for source, its in every.items()}, list[Any]()

    while any(left.values()):
        source = random.choice([source for source, its in left.items() if its])
        count = random.randint(1, 10)
        order.put({source: left[source][:count]})
        del left[source][:count]
        taken += order.take({source: LONG_AGO if not its else MORE for source, its in left.items()})
    taken += order.take(dict.fromkeys(sources, Reached(at_end=True, seen_ms=1_000)))

    sorted_all = [(source, record) for source in sources for record in every[source]]
    assert stamps(taken) == stamps(sorted(sorted_all, key=lambda one: one[1].timestamp))


def test_a_partition_that_others_wait_behind_is_not_fetched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.ingest.ordering._HELD_BYTES", 40)
    order = Merged(1)
    order.put({ZERO: [Foreign(b"x" * 30, 0, 5)], ONE: []})

    assert order.full() == {ZERO}
    order.put({ONE: records(9)})
    order.take({ZERO: MORE, ONE: MORE})
    assert order.full() == set()
    order.put({ZERO: records(9)})
    order.clear()
    assert order.take({ZERO: LONG_AGO}) == []


def test_one_member_has_all_partitions_and_the_others_none() -> None:
    class Cluster:
        @staticmethod
        def partitions_for_topic(_topic: str) -> set[int]:
            return {0, 1, 2}

    members = {name: ConsumerProtocolMemberMetadata(0, ["payments"], b"") for name in ("b", "a")}

    shared = OneForAll.assign(Cluster(), members)

    assert {name: its.assignment for name, its in shared.items()} == {
        "a": [("payments", [0, 1, 2])],
        "b": [],
    }


def test_a_user_on_two_partitions_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    spread = SpreadUsers()

    spread.look([(b"a", ZERO), (b"b", ONE), (b"a", ZERO)])
    assert caplog.text == ""
    spread.look([(b"a", TopicPartition("orders", 3)), (b"b", TWO)])
    assert caplog.text.count("--order timestamps") == 1
    assert "one user are on payments 0 and orders 3" in caplog.text
