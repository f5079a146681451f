"""Decisions between batches: crashes leave every transaction with the verdict of what held there."""

from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import Decision
from stream_app.batch import Batch, LostPartitionError
from stream_app.state.decided.log import RULES_KEY, UnappliedError
from stream_app.state.owned import OwnedPartition
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import DECIDERS, STEPS, Logged, LoggedPartition
from tests.support.traffic import traffic

BODIES = [{"detector": "odds"}, {"detector": "rolling_mean"}, {"detector": "rolling_mean,odds"}]


def assert_each_by_what_held(installation: LoggedPartition, count: int) -> None:
    """Kafka, Postgres and the windows say the same, and by the decision that held at each offset."""
    world = installation.world
    assert [verdict.offset for verdict in world.kafka.scored] == [*range(count)]
    stored = [world.rows.stored[_key(verdict)] for verdict in world.kafka.scored]
    assert stored == [verdict.encoded()[0] for verdict in world.kafka.scored]
    said = [msgspec.json.decode(row)["meta_data"].get("decision", 0) for row in stored]
    assert said == [_decision_at(installation, offset) for offset in range(count)]
    assert world.kafka.rules == [_rule_at(installation, offset) for offset in range(count)]
    assert sorted(world.rows.applied) == [*range(1, len(installation.log) + 1)]
    assert world.windows.content == dict(world.kafka.changelog)


def _key(verdict: Any) -> tuple[str, datetime, str]:
    return verdict.transaction.id, verdict.transaction.txn_date, verdict.transaction.user_id


def _decision_at(installation: LoggedPartition, offset: int) -> int:
    applied = installation.world.rows.applied.items()
    return max((seq for seq, start in applied if start <= offset), default=0)


def _rule_at(installation: LoggedPartition, offset: int) -> str:
    seq = _decision_at(installation, offset)
    note = installation.log[seq - 1].value if seq else None
    return DECIDERS.of({RULES_KEY: note}.get).rule.rule


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
    installation, arriving, bodies = LoggedPartition(), records(120, seed), cycle(BODIES)

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
    installation, arriving = LoggedPartition(), records(120, seed=1)
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
    installation, arriving = LoggedPartition(), records(40, seed=1)
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
    installation, arriving = LoggedPartition(), records(20, seed=1)
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


def assert_rule_of(installation: LoggedPartition, detector: str) -> None:
    note = installation.log[-1].value
    assert DECIDERS.of({RULES_KEY: note}.get).rule.detector == detector
    assert {*installation.world.kafka.rules} == {DECIDERS.of({RULES_KEY: note}.get).rule.rule}


async def test_a_later_programs_decision_and_one_out_of_order_stop_the_partition() -> None:
    installation = LoggedPartition()
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
