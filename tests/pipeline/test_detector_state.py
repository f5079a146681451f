"""A detector with a state of its own: scored by it, kept with the windows, restored, begun again."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.rule import sentence
from stream_app.detectors import DETECTORS, detector_of, ensemble_of, known, rule_of
from stream_app.scoring import Scorer, StateFormat
from stream_app.window import decode_window
from tests.support.detectors import rolling_scorer
from tests.support.fakes import FakeRecord, World
from tests.support.flag_schema import flags_of
from tests.support.largest import Largest, Seen, Settings, decode, encode, flagged_by_largest
from tests.support.traffic import Sent, traffic
from tests.support.with_largest import LARGEST

STEPS = ["load", "rows", "kafka", "windows", "mirror"]


def largest() -> Largest:
    return Largest(Settings(window_size=3, largest_factor=2, _env_file=None))


class OtherBytes(Largest):
    """The same with another version of its state."""

    STATE = StateFormat(version=2, fresh=Seen(), encode=encode, decode=decode)


def records_of(transactions: Sequence[Sent]) -> list[FakeRecord]:
    return [FakeRecord(offset, sent.key, sent.value) for offset, sent in enumerate(transactions)]


def states(world: World) -> dict[str, Seen]:
    """Each user's state as it is in the changelog, behind its tag of four bytes."""
    windows = {key.decode(): decode_window(value) for key, value in world.kafka.changelog}
    return {user: decode(window.state[4:]) for user, window in windows.items() if window.state}


def states_by_currency(world: World) -> list[dict[str, bytes]]:
    """Of each user, the bytes of what detectors keep in each currency."""
    windows = {key: decode_window(value) for key, value in world.kafka.changelog}
    return [{code: its.state for code, its in window.by_currency.items()} for window in windows.values()]


def flagged(world: World) -> set[str]:
    return {verdict.transaction.id for verdict in world.kafka.scored if verdict.flag}


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 30)), max_size=4),
    st.integers(1, 40),
    st.integers(0, 2**32),
)
async def test_the_state_outlives_crashes_between_any_two_steps_and_windows_that_are_lost(
    crashes: list[tuple[str, int]], last_batch_size: int, seed: int
) -> None:
    world, transactions = World(Scorer(largest(), 3)), traffic(150, users=4, seed=seed)
    records = records_of(transactions)

    for step, batch_size in crashes:
        await world.crash(records, step, batch_size)
        world.windows.lose()
    await world.run(records, batch_size=last_batch_size)

    assert flagged(world) == flagged_by_largest(transactions)
    spent: dict[str, list[int]] = {}
    for sent in transactions:
        spent.setdefault(sent.user_id, []).append(sent.hundredths)
    assert states(world) == {user: Seen(max(its), len(its)) for user, its in spent.items()}


async def test_the_state_of_another_version_begins_afresh() -> None:
    amounts = ["1.00", "10.00", "3.00", "7.00"]  # 7.00 is much after 3.00, and little after 10.00
    transactions = [
        replace(sent, amount=amount) for sent, amount in zip(traffic(4, users=1), amounts, strict=True)
    ]
    world = World(Scorer(largest(), 3))
    await world.run(records_of(transactions[:2]))

    world.scorer = Scorer(OtherBytes(largest().settings), 3)
    await world.run(records_of(transactions))

    assert flagged(world) == {transactions[1].id, transactions[3].id}
    assert [*states(world).values()] == [Seen(700, 2)]


async def test_a_detector_that_has_none_takes_the_state_of_another_away() -> None:
    """It would lack what came meanwhile, should the other come back."""
    world, transactions = World(Scorer(largest(), 20)), traffic(100, users=1)
    await world.run(records_of(transactions[:60]))
    assert states(world)

    world.scorer = rolling_scorer()
    await world.run(records_of(transactions))

    assert states(world) == {}


@pytest.mark.parametrize("meanwhile", ["rolling_mean", "rolling_mean,odds"])
async def test_what_another_detector_does_not_score_it_leaves(meanwhile: str) -> None:
    """Neither another currency's transaction nor a revision is one that the state of this currency misses."""
    one = replace(traffic(1, users=1)[0], currency="EUR")
    other = replace(one, id=str(UUID(int=7)), currency="JPY")
    earlier = [other, one]
    later = [replace(one, status="settled"), replace(other, id=str(UUID(int=8)))]
    world = World(Scorer(largest(), 20))
    await world.run(records_of(earlier))
    [before] = states_by_currency(world)

    world.scorer = Scorer(ensemble_of(meanwhile), 20)
    await world.run(records_of([*earlier, *later]))

    [after] = states_by_currency(world)
    assert after["EUR"] == before["EUR"]
    assert after["JPY"] != before["JPY"]


def test_one_line_makes_a_detector_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.detectors.DETECTORS", DETECTORS | LARGEST)
    monkeypatch.setenv("TXNWATCH_LARGEST_FACTOR", "4")

    rule = rule_of(detector_of("largest"))
    schema = Draft202012Validator(flags_of(known()))

    assert rule.sentence == "An amount is flagged above 4 times the largest before it."
    assert set(rule.words) == {*DETECTORS, "largest"}
    flag = {"detector": "largest", "largest": "12.30", "seen": 7, "times": 4.5}
    schema.validate(flag)
    assert not schema.is_valid(flag | {"seen": 0})
    assert not schema.is_valid(flag | {"detector": "rolling_mean"})
    row = {"amount": "55.35", "currency": "EUR", "meta_data": flag}
    assert sentence(row, rule.words) == (
        "With EUR 55.35, this user spends 4.5 times the EUR 12.30 that was the most in 7 transactions"
    )
