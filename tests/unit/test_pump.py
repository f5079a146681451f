"""The pump: when it fetches, when it pauses, and what ends it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from infra.runtime.patience import KafkaSilentError
from stream_app.batch import Record
from stream_app.faust_adapter import in_flight
from stream_app.faust_adapter.in_flight import InFlight
from stream_app.faust_adapter.pump import SMALL_BACKLOG, Pumps, pump
from tests.support.fakes import FakeRecord

SOURCE = TopicPartition("transactions", 0)
Process = Callable[[Sequence[Record], int], Awaitable[bool]]


@dataclass
class OnePartition:
    """Of aiokafka's consumer what a pump uses: each fetch brings what there is, up to so many records."""

    waiting: int
    at: int = 0
    markers: int = 0
    paused: bool = False
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        assert timeout_ms >= 0
        assert partitions == (SOURCE,)
        assert not self.paused
        if self.at >= self.waiting and not self.markers:
            self.drained.set()
            await forever()
        if self.at >= self.waiting:
            self.at, self.markers = self.at + self.markers, 0
            return {}
        first, self.at = self.at, min(self.at + max_records, self.waiting)
        return {SOURCE: [FakeRecord(offset, None, None) for offset in range(first, self.at)]}

    async def position(self, _partition: TopicPartition) -> int:
        return self.at

    def last_poll_timestamp(self, _partition: TopicPartition) -> int:
        return 0

    def last_stable_offset(self, _partition: TopicPartition) -> int:
        return self.waiting

    def pause(self, *_partitions: TopicPartition) -> None:
        self.paused = True

    def resume(self, *_partitions: TopicPartition) -> None:
        self.paused = False


async def forever() -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def pumped(
    partition: OnePartition, batch_size: int, process: Process, room: InFlight | None = None
) -> None:
    """Pump until nothing is left."""
    room = room or InFlight(100_000, 1 << 30)
    pumping = asyncio.create_task(
        pump(partition, SOURCE, batch_size=batch_size, in_flight=room, patience=30, process=process)
    )
    async with asyncio.timeout(30):
        await partition.drained.wait()
    pumping.cancel()


async def test_a_partition_that_keeps_up_is_paused_during_its_batch() -> None:
    partition, seen = OnePartition(waiting=10), list[tuple[int, bool]]()

    async def process(records: Sequence[Record], _position: int) -> bool:
        seen.append((len(records), partition.paused))
        return True

    await pumped(partition, 100, process)

    assert seen == [(10, True)]


async def test_a_partition_that_is_behind_is_fetched_ahead_however_small_its_batches() -> None:
    partition, seen = OnePartition(waiting=SMALL_BACKLOG + 500), list[tuple[int, bool]]()

    async def process(records: Sequence[Record], _position: int) -> bool:
        seen.append((len(records), partition.paused))
        return True

    await pumped(partition, 100, process)

    assert [size for size, _ in seen] == [100] * 15
    assert [paused for _, paused in seen] == [False] * 5 + [True] * 10


async def test_a_fetch_of_markers_alone_is_a_batch_without_records() -> None:
    seen: list[tuple[int, int]] = []

    async def process(records: Sequence[Record], position: int) -> bool:
        seen.append((len(records), position))
        return True

    await pumped(OnePartition(waiting=10, markers=2), 100, process)

    assert seen == [(10, 10), (0, 12)]


async def test_small_batches_begin_at_least_20_ms_apart() -> None:
    began: list[float] = []

    async def process(_records: Sequence[Record], _position: int) -> bool:
        began.append(asyncio.get_running_loop().time())
        return True

    await pumped(OnePartition(waiting=4), 1, process)

    assert len(began) == 4
    assert min(later - earlier for earlier, later in pairwise(began)) > 0.0199


async def test_after_an_abandoned_batch_nothing_is_fetched_and_the_partition_stays_paused() -> None:
    partition, abandoned = OnePartition(waiting=20), asyncio.Event()

    async def process(_records: Sequence[Record], _position: int) -> bool:
        abandoned.set()
        return False

    pumping = asyncio.create_task(
        pump(
            partition,
            SOURCE,
            batch_size=10,
            in_flight=InFlight(100_000, 1 << 30),
            patience=30,
            process=process,
        )
    )
    async with asyncio.timeout(30):
        await abandoned.wait()
        _, pending = await asyncio.wait([pumping], timeout=0.1)  # a batch's 20 ms would be over

    assert pending
    assert (partition.at, partition.paused) == (10, True)
    pumping.cancel()


@dataclass
class Watched:
    """Notes which pumps run."""

    partitions: set[str]
    running: set[str] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def pump(self, partition: str) -> NoReturn:
        await self._note({*self.running, partition})
        try:
            await forever()
        finally:
            await self._note(self.running - {partition})

    async def runs(self, expected: set[str]) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: self.running == expected)

    async def _note(self, running: set[str]) -> None:
        async with self.changed:
            self.running = running
            self.changed.notify_all()


async def test_a_rebalance_in_the_middle_of_a_batch_cuts_it_off_and_pumps_what_is_ours_then() -> None:
    watched = Watched({"a", "b"})
    pumps = Pumps(lambda: watched.partitions, watched.pump)
    running = asyncio.create_task(pumps.run())
    await watched.runs({"a", "b"})

    watched.partitions = set()
    pumps.restart()
    await watched.runs(set())
    watched.partitions = {"b", "c"}
    pumps.restart()
    await watched.runs({"b", "c"})

    running.cancel()
    await asyncio.wait([running])
    assert watched.running == set()


async def test_a_member_without_partitions_pumps_those_that_a_rebalance_brings() -> None:
    """Faust does not stop its flow before it resumes it: only the restart tells."""
    watched = Watched(set())
    pumps = Pumps(lambda: watched.partitions, watched.pump)
    running = asyncio.create_task(pumps.run())
    await asyncio.sleep(0)

    watched.partitions = {"a"}
    pumps.restart()

    await watched.runs({"a"})
    running.cancel()


async def test_a_change_that_comes_while_pumps_are_being_stopped_is_not_missed() -> None:
    watched, started = Watched({"a"}), asyncio.Queue[str]()
    stopping, may_stop = asyncio.Event(), asyncio.Event()

    async def slow_to_stop(partition: str) -> NoReturn:
        started.put_nowait(partition)
        try:
            await forever()
        finally:
            stopping.set()
            await may_stop.wait()

    pumps = Pumps(lambda: watched.partitions, slow_to_stop)
    running = asyncio.create_task(pumps.run())
    async with asyncio.timeout(30):
        assert await started.get() == "a"
        pumps.restart()
        await stopping.wait()
        watched.partitions = {"b"}
        pumps.restart()
        may_stop.set()
        assert await started.get() == "b"
    running.cancel()


async def test_the_exception_of_one_pump_ends_them_all() -> None:
    ended: list[str] = []

    async def failing(partition: str) -> NoReturn:
        if partition == "bad":
            raise ValueError(partition)
        try:
            await forever()
        finally:
            ended.append(partition)

    with pytest.raises(ValueError, match="bad"):
        await Pumps(lambda: ["good", "bad"], failing).run()

    assert ended == ["good"]


@dataclass
class Silent(OnePartition):
    """Each poll ends after its time without anything; fetches succeed for so many polls."""

    answers: int = 0
    polls: int = 0

    async def getmany(
        self, *_partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        self.polls += 1
        await asyncio.sleep(timeout_ms * max_records / 1e6)
        return {}

    def last_poll_timestamp(self, _partition: TopicPartition) -> int:
        return min(self.polls, self.answers)


async def test_a_partition_that_no_fetch_succeeds_for_is_given_up_and_one_without_records_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def process(_records: Sequence[Record], _position: int) -> bool:
        raise AssertionError

    partition = Silent(waiting=0, answers=30)
    words = "transactions partition 0: no fetch from Kafka has succeeded for"
    async with asyncio.timeout(30):
        with pytest.raises(KafkaSilentError, match=words):
            await pump(
                partition, SOURCE, batch_size=10, in_flight=InFlight(10, 1), patience=0.1, process=process
            )

    assert partition.polls > 30
    assert caplog.text.count(words) == 1


@dataclass
class Damaged(OnePartition):
    """From an offset on, it cannot be read."""

    damage: int = 0

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        if self.at == self.damage:
            raise CorruptRecordException(f"offset {self.at}")
        most = min(max_records, self.damage - self.at)
        return await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=most)


@pytest.mark.parametrize("good", [0, 1, 2, 11])
async def test_all_records_before_a_damaged_one_are_processed(good: int) -> None:
    seen: list[int] = []

    async def process(records: Sequence[Record], _position: int) -> bool:
        seen.extend(record.offset for record in records)
        return True

    partition = Damaged(waiting=30, damage=good)
    with pytest.raises(CorruptRecordException, match=f"offset {good}"):
        await pump(
            partition, SOURCE, batch_size=10, in_flight=InFlight(100, 1 << 20), patience=30, process=process
        )

    assert seen == list(range(good))


async def test_partitions_together_have_no_more_in_flight_than_there_is_room_for() -> None:
    """Each is far behind and alone would take whole batches."""
    sizes: list[int] = []
    together: list[int] = []

    async def process(records: Sequence[Record], _position: int) -> bool:
        sizes.append(len(records))
        together.append(sum(sizes))
        await asyncio.sleep(0.01)
        sizes.remove(len(records))
        return True

    room = InFlight(most_records=250, most_bytes=1 << 30)
    partitions = [OnePartition(waiting=500) for _ in range(8)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(pumped(one, 100, process, room) for one in partitions))

    assert 100 < max(together) <= 250


async def test_partitions_that_are_stuck_do_not_keep_others_from_going_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four whole batches are all the room that there is, and none of them ends."""
    monkeypatch.setattr(in_flight, "_STUCK_SECONDS", 0.05)
    room = InFlight(most_records=400, most_bytes=1 << 30)

    async def stuck(_records: Sequence[Record], _position: int) -> bool:
        await forever()

    async def done(_records: Sequence[Record], _position: int) -> bool:
        return True

    holding = [asyncio.create_task(pumped(OnePartition(waiting=100_000), 100, stuck, room)) for _ in range(4)]
    await asyncio.sleep(0)
    others = [OnePartition(waiting=1000) for _ in range(3)]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(pumped(one, 100, done, room) for one in others))
    finally:
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)

    assert [one.at for one in others] == [1000] * 3
