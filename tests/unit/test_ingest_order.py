"""Records of several partitions by their timestamps, whatever arrives when."""

import logging
from random import Random
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.structs import OffsetAndMetadata

from infra.ingest.assigning import OneForAll
from infra.ingest.ordering import Arrived, Merged, Order, Reached, Sourced, SpreadUsers, TakenBeyond
from tests.support.foreign_topics import Foreign, partition

ZERO, ONE, TWO = map(partition, range(3))
LONG_AGO = Reached(at_end=True, seen_ms=0, position=1 << 40)
MORE = Reached(at_end=False, seen_ms=10_000_000, position=1 << 40)
LAST = Reached(at_end=True, seen_ms=10_000_000, position=1 << 40)
MANY = 1_000


def records(*timestamps: int) -> list[Any]:
    return [Foreign(b"{}", offset, timestamp) for offset, timestamp in enumerate(timestamps)]


def stamps(taken: Any) -> list[tuple[int, int]]:
    return [(source.partition, record.timestamp) for source, record in taken]


def places(taken: Any) -> list[tuple[int, int]]:
    return [(source.partition, record.offset) for source, record in taken]


def test_as_they_arrive_nothing_waits() -> None:
    order = Arrived()
    order.put({ONE: records(5, 1), ZERO: records(3)})

    assert order.held(ONE) == 2
    assert stamps(order.take({ZERO: MORE, ONE: MORE}, 2)) == [(1, 5), (1, 1)]
    assert order.offsets() == {ONE: OffsetAndMetadata(2, "")}
    assert stamps(order.take({ZERO: MORE, ONE: MORE}, 2)) == [(0, 3)]
    assert stamps(order.take({ZERO: MORE}, 2)) == []


def test_nothing_is_taken_before_what_another_partition_may_still_bring() -> None:
    order = Merged(0)
    order.put({ZERO: records(10, 20, 30), ONE: records(15, 20)})

    assert stamps(order.take({ZERO: MORE, ONE: MORE, TWO: MORE}, MANY)) == []
    order.put({TWO: records(12, 40)})
    assert stamps(order.take({ZERO: MORE, ONE: MORE, TWO: MORE}, MANY)) == [
        (0, 10), (2, 12), (1, 15), (0, 20), (1, 20),
    ]  # fmt: skip
    assert stamps(order.take({ZERO: MORE, ONE: MORE, TWO: MORE}, MANY)) == []


def test_at_the_end_of_a_partition_what_is_late_is_waited_for() -> None:
    order = Merged(1)
    order.put({ZERO: records(5_000, 6_000)})

    def taken(seen_ms: int) -> list[tuple[int, int]]:
        return stamps(order.take(dict.fromkeys([ZERO, ONE], Reached(True, seen_ms)), MANY))  # noqa: FBT003

    assert taken(5_999) == []
    assert taken(6_000) == [(0, 5_000)]
    order.put({ONE: records(5_500)})
    assert taken(7_000) == [(1, 5_500), (0, 6_000)]


def test_timestamps_that_fall_are_put_in_order_and_the_group_knows_what_is_taken() -> None:
    order = Merged(0.005)
    order.put({ZERO: records(10, 7, 11, 16), ONE: records(9, 16)})

    assert places(order.take({ZERO: MORE, ONE: MORE}, 3)) == [(0, 1), (1, 0), (0, 0)]
    assert order.offsets() == {ZERO: OffsetAndMetadata(2, ""), ONE: OffsetAndMetadata(1, "")}
    order = Merged(0.005)
    order.put({ZERO: records(10, 7, 11, 16), ONE: records(9, 16)})
    assert places(order.take({ZERO: MORE, ONE: MORE}, 1)) == [(0, 1)]
    assert order.offsets() == {ZERO: OffsetAndMetadata(0, "txnwatch 4 7 1")}


def test_what_comes_too_late_comes_at_once() -> None:
    order = Merged(0.001)
    order.put({ZERO: records(10, 20), ONE: records(10, 20)})
    assert len(order.take({ZERO: MORE, ONE: MORE}, MANY)) == 2
    order.put({ZERO: [Foreign(b"", 2, 5), Foreign(b"", 3, 4)]})

    assert places(order.take({ZERO: MORE, ONE: MORE}, 1)) == [(0, 3), (0, 2)]
    assert order.offsets() == {ZERO: OffsetAndMetadata(1, "txnwatch 4 10 0")}


def test_a_timestamp_that_is_none_waits_for_nothing() -> None:
    order = Merged(1)
    order.put({ZERO: records(1_700_000_000_000, -1, 1_700_000_000_000_000, 1_700_000_000_000)})

    assert places(order.take({ZERO: MORE}, MANY)) == [(0, 1), (0, 2)]
    assert places(order.take({ZERO: LONG_AGO}, MANY)) == []


def test_many_records_of_one_timestamp_hold_nothing_up() -> None:
    order = Merged(0)
    order.put({ZERO: records(*[7] * 100), ONE: records(*[7] * 100)})

    assert len(order.take({ZERO: MORE, ONE: MORE}, MANY)) == 100
    order.put({ZERO: records(8)})
    assert len(order.take({ZERO: MORE, ONE: MORE}, MANY)) == 100


class Logs:
    """Partitions whose records arrive up to `wait` after their timestamps, read by one who is interrupted."""

    def __init__(self, random: Random, wait_ms: int) -> None:
        self.random = random
        sources = [partition(number) for number in range(4)]
        self.logs = {source: self._log(wait_ms) for source in sources}
        self.committed = dict.fromkeys(sources, OffsetAndMetadata(0, ""))
        self.taken: list[Sourced] = []
        self.begin(Merged(wait_ms / 1000))

    def _log(self, wait_ms: int) -> list[Any]:
        stamped = sorted(self.random.randrange(1, 300) for _ in range(100))
        return records(*sorted(stamped, key=lambda stamp: stamp + self.random.randint(0, wait_ms)))

    def begin(self, order: Order) -> None:
        self.order: Order = order
        self.positions = {source: its.offset for source, its in self.committed.items()}
        order.begin({source: TakenBeyond.noted(its.metadata) for source, its in self.committed.items()})

    def go_on(self, seen_ms: int) -> bool:
        """Fetch something, and take what can be, once or more; whether there is more."""
        source = self.random.choice(list(self.logs))
        start, count = self.positions[source], self.random.randint(1, 20)
        self.order.put({source: self.logs[source][start : start + count]})
        self.positions[source] = min(start + count, len(self.logs[source]))
        while taken := self.order.take(self._reached(seen_ms), self.random.randint(1, 20)):
            if self.random.random() < 0.2:
                self.begin(self.order)  # before that was committed
                break
            self.taken += taken
            self.committed |= self.order.offsets()
        return len(self.taken) < 400

    def _reached(self, seen_ms: int) -> dict[TopicPartition, Reached]:
        ends = {source: len(its) for source, its in self.logs.items()}
        return {one: Reached(at == ends[one], seen_ms, at) for one, at in self.positions.items()}

    def all_in_order(self) -> list[tuple[int, int]]:
        every = [(source, record) for source, its in self.logs.items() for record in its]
        return places(sorted(every, key=lambda one: (one[1].timestamp, one[0], one[1].offset)))


@pytest.mark.parametrize("seed", range(20))
def test_however_it_is_fetched_and_interrupted_the_order_is_that_of_all_sorted(seed: int) -> None:
    logs = Logs(Random(seed), wait_ms=20)
    while logs.go_on(0 if min(logs.positions.values()) < 100 else 1_000):
        pass

    assert places(logs.taken) == logs.all_in_order()
    assert set(logs.committed.values()) == {OffsetAndMetadata(100, "")}


@pytest.mark.parametrize("seed", range(20))
def test_what_arrives_later_than_promised_is_taken_once_all_the_same(seed: int) -> None:
    logs = Logs(Random(seed), wait_ms=100)
    logs.begin(Merged(0.005))
    while logs.go_on(logs.random.randrange(320)):
        if logs.random.random() < 0.05:
            logs.begin(Arrived() if logs.random.random() < 0.5 else Merged(0.005))

    assert sorted(places(logs.taken)) == sorted(logs.all_in_order())


def test_a_partition_that_others_wait_behind_is_not_fetched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.ingest.ordering._HELD_BYTES", 40)
    order = Merged(0)
    order.put({ZERO: [Foreign(b"x" * 30, 0, 5)], ONE: []})

    assert order.full() == {ZERO}
    order.put({ONE: records(9)})
    order.take({ZERO: MORE, ONE: MORE}, MANY)
    assert order.full() == set()
    order.put({ZERO: records(9)})
    order.begin({})
    assert order.take({ZERO: LONG_AGO}, MANY) == []


def test_more_than_memory_holds_within_the_wait_goes_on_half_by_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.ingest.ordering._HELD_BYTES", 100)
    order = Merged(3600)
    order.put({ZERO: [Foreign(b"x" * 20, number, number + 1) for number in range(10)]})

    assert order.full() == {ZERO}
    assert stamps(order.take({ZERO: MORE}, MANY)) == [(0, number) for number in range(1, 7)]
    assert (order.full(), order.held(ZERO)) == (set(), 4)


def test_a_partition_is_read_on_as_far_as_it_was_before_anything_of_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it would look as if what is not read again yet had been taken, too."""
    monkeypatch.setattr("infra.ingest.ordering._HELD_BYTES", 1)
    order, its = Merged(0), records(10, 7, 9, 8)
    order.begin({ZERO: TakenBeyond(4, 7, 1)})
    order.put({ZERO: its[:3]})

    assert order.full() == set()
    assert order.take({ZERO: LAST._replace(at_end=False, position=3)}, MANY) == []
    order.put({ZERO: its[3:]})
    assert places(order.take({ZERO: LAST._replace(position=4)}, MANY)) == [(0, 3), (0, 2), (0, 0)]


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
