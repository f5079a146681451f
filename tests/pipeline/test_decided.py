"""Decisions between batches: crashes leave every transaction with the verdict of what held there."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import RULES, Decision
from stream_app.batch import Batch, LostPartitionError
from stream_app.settings import Settings
from stream_app.state.decided.deciding import Deciders
from stream_app.state.decided.log import UnappliedError
from stream_app.state.decided.partition import DecidedPartition
from stream_app.takeover import OwnedPartition
from tests.support.fakes import Crash, FakeRecord, World
from tests.support.traffic import traffic

STEPS = ["load", "rows", "kafka", "windows", "mirror", "decision in rows", "decision in kafka"]
DECIDERS = Deciders(Settings(_env_file=None))
BODIES = [{"detector": "odds"}, {"detector": "rolling_mean"}, {"detector": "rolling_mean,odds"}]


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the control log."""

    offset: int
    value: bytes | None
    partition: int = 0


@dataclass(slots=True)
class Installation:
    """One partition, and a control log."""

    world: World = field(default_factory=World)
    log: list[Logged] = field(default_factory=list)
    deciders: Deciders = DECIDERS

    def decide(self, body: dict[str, Any]) -> None:
        """Add a decision to the log."""
        seq = len(self.log) + 1
        decision = Decision(seq, RULES, body, "ann", "", datetime(2026, 4, 1, tzinfo=UTC))
        self.log.append(Logged(2 * seq, decision.encode()))  # every second offset is a marker's

    async def owner(self) -> OwnedPartition:
        """Take the partition over, and apply what waits."""
        world = self.world
        pipeline = world.owner()
        decided = DecidedPartition(0, world.rows.epoch, world.rows, world.kafka, world.windows, self.deciders)
        reached = world.kafka.group_offset, world.rows.next_offset
        pipeline = decided.deciding.within(pipeline)
        store: Any = world.windows
        owned = OwnedPartition(0, pipeline, decided, *reached, store, lambda: None)
        await self.deliver(owned)
        return owned

    async def deliver(self, owned: OwnedPartition) -> None:
        """Hand over what comes next of the log, once it may be applied."""
        waiting = [one for one in self.log if one.offset >= owned.decided.progress.next_offset]
        if waiting and owned.is_replayed:
            await owned.decide(waiting)

    async def run(self, records: Sequence[FakeRecord], batch_size: int) -> None:
        """Own the partition to the end of the records."""
        owned = await self.owner()
        while rest := records[self.world.kafka.group_offset :]:
            await owned.process(Batch(0, rest[:batch_size]))
            await self.deliver(owned)

    async def crash(self, records: Sequence[FakeRecord], step: str, batch_size: int) -> None:
        """Own it up to a crash before this step, or to the end where that is not reached."""
        self.world.crash_before = step
        with suppress(Crash):
            await self.run(records, batch_size)
        self.world.crash_before = None


def assert_each_by_what_held(installation: Installation, count: int) -> None:
    """Kafka, Postgres and the windows say the same, and by the decision that held at each offset."""
    world = installation.world
    assert [verdict.offset for verdict in world.kafka.scored] == [*range(count)]
    stored = [world.rows.stored[_key(verdict)] for verdict in world.kafka.scored]
    assert stored == [verdict.encoded()[0] for verdict in world.kafka.scored]
    assert world.kafka.rules == [_rule_at(installation, offset) for offset in range(count)]
    assert sorted(world.rows.applied) == [*range(1, len(installation.log) + 1)]
    assert world.windows.content == dict(world.kafka.changelog)


def _key(verdict: Any) -> tuple[str, datetime, str]:
    return verdict.transaction.id, verdict.transaction.txn_date, verdict.transaction.user_id


def _rule_at(installation: Installation, offset: int) -> str:
    held = [seq for seq, start in installation.world.rows.applied.items() if start <= offset]
    note = installation.log[max(held) - 1].value if held else None
    return DECIDERS.of(note).rule.rule


def records(count: int, seed: int) -> list[FakeRecord]:
    sent = traffic(count, users=3, seed=seed)
    return [FakeRecord(offset, one.key, one.value) for offset, one in enumerate(sent)]


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 30), st.integers(0, 2)), max_size=6),
    st.integers(1, 40),
    st.integers(0, 2**32),
)
async def test_crashes_between_any_two_steps_come_to_the_verdicts_of_what_held(
    crashes: list[tuple[str, int, int]], last_batch_size: int, seed: int
) -> None:
    installation, arriving, bodies = Installation(), records(120, seed), cycle(BODIES)

    for step, batch_size, decisions in crashes:
        for _ in range(decisions):
            installation.decide(next(bodies))
        await installation.crash(arriving, step, batch_size)
    await installation.run(arriving, last_batch_size)
    await installation.owner()

    assert_each_by_what_held(installation, len(arriving))


@pytest.mark.parametrize("protection", ["on", "off"])
async def test_a_batch_that_postgres_has_is_scored_again_by_what_it_was_scored_by(
    protection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for it, the decision that came while nobody was there would give other verdicts."""
    installation, arriving = Installation(), records(120, seed=1)
    await installation.crash(arriving, "kafka", 60)
    installation.decide({"detector": "odds"})
    if protection == "off":
        monkeypatch.setattr(OwnedPartition, "is_replayed", property(lambda _: True))
    await installation.run(arriving, 60)

    if protection == "on":
        assert_each_by_what_held(installation, len(arriving))
        assert installation.world.rows.applied == {1: 60}
    else:
        with pytest.raises(AssertionError):
            assert_each_by_what_held(installation, len(arriving))


@pytest.mark.parametrize("first", ["batch", "decision"])
async def test_once_work_was_cut_off_nothing_is_begun_that_the_next_owner_would_not_see(first: str) -> None:
    """Else rows that Postgres got, and from where on it says that a decision held, would contradict."""
    installation, arriving = Installation(), records(40, seed=1)
    owned, batch = await installation.owner(), Batch(0, arriving[:20])
    installation.decide({"detector": "odds"})
    installation.world.kafka.is_fenced = True
    if first == "batch":
        assert not await owned.process(batch)
        await owned.decide(installation.log)
    else:
        with pytest.raises(LostPartitionError):
            await owned.decide(installation.log)
        assert not await owned.process(batch)
    installation.world.kafka.is_fenced = False
    await installation.run(arriving, 20)

    assert_each_by_what_held(installation, len(arriving))
    assert installation.world.rows.applied == {1: 20 if first == "batch" else 0}


async def test_a_rule_set_that_does_not_fit_stops_the_partition_until_another_follows() -> None:
    installation, arriving = Installation(), records(20, seed=1)
    installation.decide({"detector": "nothing_of_the_kind"})

    with pytest.raises(
        UnappliedError,
        match="decision 1, the rule set of ann, does not fit this worker: detector: there is",
    ):
        await installation.run(arriving, 10)
    assert (installation.world.rows.applied, installation.world.kafka.scored) == ({}, [])

    installation.decide({"detector": "odds"})
    await installation.run(arriving, 10)
    assert installation.world.rows.applied == {1: 0, 2: 0}
    assert_rule_of(installation, "odds")


def assert_rule_of(installation: Installation, detector: str) -> None:
    note = installation.log[-1].value
    assert DECIDERS.of(note).rule.detector == detector
    assert {*installation.world.kafka.rules} == {DECIDERS.of(note).rule.rule}


async def test_a_later_programs_decision_and_one_out_of_order_stop_the_partition() -> None:
    installation = Installation()
    installation.log.append(Logged(0, b'{"format": 2}'))
    with pytest.raises(UnappliedError, match="of format 2, and this txnwatch reads up to 1: update it"):
        await installation.owner()

    unknown = Decision(1, "horoscope", {}, "ann", "", datetime(2026, 4, 1, tzinfo=UTC))
    installation.log[:] = [Logged(0, unknown.encode())]
    with pytest.raises(UnappliedError, match="of the kind horoscope, which this txnwatch does not know"):
        await installation.owner()

    installation.log.clear()
    for _ in range(3):
        installation.decide(BODIES[0])
    del installation.log[1]
    with pytest.raises(UnappliedError, match="decision 3 comes after 1: some are missing from the topic"):
        await installation.owner()
