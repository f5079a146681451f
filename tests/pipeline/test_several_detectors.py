"""Several detectors at once: those that decide, those that only watch, and what each keeps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.cli_errors import StopError
from schemas.masking import without_data
from schemas.rules.rule_set import RuleSpec
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.settings import Settings as OddsSettings
from stream_app.metrics import WorkerMetrics
from stream_app.scoring import Detector, Ensemble, Scorer, StateFormat
from stream_app.scoring.rules.applied import Rules
from stream_app.window import Window, decode_window
from tests.support.detectors import rolling_mean, rolling_scorer
from tests.support.fakes import FakeRecord, World
from tests.support.largest import Largest, Seen, Settings, decode, encode, flagged_by_largest
from tests.support.misbehaving import MISBEHAVING, SETTINGS, ChangesTheWindow, Raising
from tests.support.oracle import replay
from tests.support.traffic import Sent, traffic

STEPS = ["load", "rows", "kafka", "windows", "mirror"]
MEAN, ODDS = rolling_mean(), Odds(OddsSettings(_env_file=None))


def largest() -> Largest:
    return Largest(Settings(window_size=20, largest_factor=2, _env_file=None))


class Second(Largest):
    """The same under another name."""

    NAME = "second"


class Later(Largest):
    """The same with another version of its state."""

    STATE = StateFormat(version=2, fresh=Seen(), encode=encode, decode=decode)


class Third(Largest):
    """One more, of which three times the largest begin to stand out as much as two of the others'."""

    NAME = "third"

    def strength(self, score: float) -> float:
        return score / 3


def records_of(transactions: Sequence[Sent]) -> list[FakeRecord]:
    return [FakeRecord(offset, sent.key, sent.value) for offset, sent in enumerate(transactions)]


def spending(*amounts: str) -> list[Sent]:
    """One user's transactions."""
    return [
        replace(sent, amount=amount)
        for sent, amount in zip(traffic(len(amounts), users=1), amounts, strict=True)
    ]


def meta_of(world: World) -> list[dict[str, Any]]:
    return [msgspec.json.decode(verdict.encoded()[1]) for verdict in world.kafka.scored]


async def run(runs: Ensemble | Detector[Any], transactions: Sequence[Sent]) -> World:
    world = World(Scorer(runs, 20))
    await world.run(records_of(transactions))
    return world


def flagged_by(world: World) -> dict[str, str]:
    return {one.transaction.id: one.flag.detector for one in world.kafka.scored if one.flag}


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 30)), max_size=3),
    st.integers(1, 40),
    st.integers(0, 2**32),
)
async def test_what_any_flags_is_flagged_and_who_watches_changes_nothing_whatever_crashes(
    crashes: list[tuple[str, int]], last_batch_size: int, seed: int
) -> None:
    transactions = traffic(150, users=4, seed=seed)
    by_mean = replay(transactions).flagged
    together = World(Scorer(Ensemble([MEAN, largest()]), 20))
    watched = World(Scorer(Ensemble([MEAN], [largest()]), 20))

    for world in (together, watched):
        for step, batch_size in crashes:
            await world.crash(records_of(transactions), step, batch_size)
            world.windows.lose()
        await world.run(records_of(transactions), batch_size=last_batch_size)

    assert flagged_by(together).keys() == by_mean | flagged_by_largest(transactions)
    assert flagged_by(watched).keys() == by_mean
    in_shadow = {one.transaction.id for one in watched.kafka.scored if one.shadow}
    assert in_shadow == flagged_by_largest(transactions)


async def test_the_flag_is_the_strongests_and_of_equals_the_first_named_ones() -> None:
    transactions = spending("1.00", "5.00")

    async def decided_by(*detectors: Detector[Any]) -> list[str]:
        return [*flagged_by(await run(Ensemble(detectors), transactions)).values()]

    one, second, third = (kind(SETTINGS) for kind in (Largest, Second, Third))
    assert await decided_by(one, second) == ["largest"]
    assert await decided_by(second, one) == ["second"]
    assert await decided_by(third, one) == ["largest"]


async def test_a_row_says_what_would_have_been_flagged_apart_from_what_was() -> None:
    *_, quiet, flagged = meta_of(await run(Ensemble([MEAN], [largest()]), spending("1.00", "1.00", "2.50")))

    assert quiet == {"is_anomaly": False}
    shadow = {"score": 2.5, "largest": "1.00", "seen": 2, "times": 2.5}
    assert flagged == {"is_anomaly": False, "shadow": {"largest": shadow}}


async def test_a_revision_repeats_what_was_said_first_also_in_shadow() -> None:
    *before, last = spending("1.00", "2.50")
    revised = replace(last, amount="1.00", status="reversed")

    world = await run(Ensemble([MEAN], [largest()]), [*before, last, revised, replace(revised, status="x")])

    _, first, second, third = meta_of(world)
    assert first["shadow"]["largest"]["times"] == 2.5
    assert second == first | {"revision": 2}
    assert third == first | {"revision": 3}


async def test_no_producers_word_stands_where_what_only_watches_is_said() -> None:
    [sent] = traffic(1, users=1)
    meta = {"shadow": {"odds": {"score": 9}}, "shop": 1}
    posing = msgspec.json.encode(msgspec.json.decode(sent.value) | {"meta_data": meta})
    world = World(rolling_scorer())

    await world.run([FakeRecord(0, sent.key, posing)])

    assert meta_of(world) == [{"shop": 1, "is_anomaly": False}]


def test_a_rule_of_several_is_of_all_that_decide_in_their_order_and_of_no_other() -> None:
    one, second, third = (kind(SETTINGS) for kind in (Largest, Second, Third))
    rules = [
        Ensemble(deciding, untaught=untaught).rule
        for untaught in ([], ["declined"])
        for deciding in ([one], [one, second], [second, one], [one, third])
    ]

    assert len(set(rules)) == len(rules)
    assert rules[0] == one.rule == Ensemble([one], [second]).rule
    assert rules[4] == Ensemble([one], [third], ["DECLINED"]).rule


async def test_states_are_read_whoever_else_keeps_one_and_those_of_others_are_not() -> None:
    transactions = spending(*["1.00"] * 40)
    runs: list[Ensemble | Detector[Any]] = [
        largest(),
        Ensemble([largest(), Second(SETTINGS)]),
        Ensemble([MEAN, Second(SETTINGS)], [largest()]),
        largest(),
    ]
    world = World(rolling_scorer())

    for at, one in enumerate(runs):
        world.scorer = Scorer(one, 20)
        await world.run(records_of(transactions[: 10 * (at + 1)]))
        world.windows.lose()

    [*_, (_, last)] = world.kafka.changelog
    assert decode(decode_window(last).state[4:]) == Seen(100, 40)
    assert world.counts["state_lost"] == 1  # of the second, when it runs no more


@pytest.mark.parametrize("deciding", [[largest()], [MEAN, largest(), Second(SETTINGS)]])
@given(st.binary(max_size=60))
def test_states_that_are_damaged_or_of_another_version_begin_afresh_and_are_counted(
    deciding: list[Detector[Any]], data: bytes
) -> None:
    ensemble = Ensemble(deciding)
    whole = Ensemble([Later(SETTINGS)]).pack([Seen(7, 1)], [])

    for damaged in (whole, data, *(whole[:at] for at in range(1, len(whole)))):
        states, is_lost = ensemble.read(damaged)
        assert states == [Seen() if one.STATE else None for one in deciding]
        assert is_lost == (damaged != b"")
    mine = ensemble.pack(states, [])
    assert ensemble.read(mine) == (states, False)
    assert ensemble.read(mine[:-10])[1]


async def test_statuses_that_do_not_teach_are_scored_and_nothing_learns_from_them() -> None:
    paid = [replace(one, status="paid") for one in spending(*["10.00"] * 12, *["400.00"] * 22)]
    sent = [*paid[:12], *(replace(one, status="Declined") for one in paid[12:33]), paid[33]]

    world = await run(Ensemble([MEAN, largest()], [], ["DECLINED", "failed"]), [*sent, sent[20], sent[32]])

    assert flagged_by(world).keys() == {one.id for one in sent[12:]}
    assert world.counts["duplicate"] == 2
    [*_, (_, last)] = world.kafka.changelog
    window = decode_window(last)
    assert window.amounts == [1000] * 12 + [40000]
    assert (len(window.recent_keys), decode(window.state[4:])) == (20, Seen(40000, 13))


@given(st.lists(st.integers(0, 1 << 45), max_size=25), st.integers(1, 20))
def test_what_is_remembered_without_its_amount_leaves_the_amounts(amounts: list[int], size: int) -> None:
    window, other = Window(), Window()
    for at, amount in enumerate(amounts):
        entry = at.to_bytes(20)
        for one in (window, other):
            one.push(amount, entry, size)
        window.remember(bytes([255]) + entry[1:])
        other.recent = window.recent
    assert window == other


@pytest.mark.parametrize(("kind", "said"), MISBEHAVING.items())
@pytest.mark.parametrize("alone", [True, False])
async def test_a_deciding_detector_that_does_what_none_may_stops_the_worker(
    kind: type[Largest], said: str, *, alone: bool
) -> None:
    transactions = spending(*["1.00"] * 6, "13.00")
    world = World(Scorer(Ensemble([kind(SETTINGS)] if alone else [MEAN, kind(SETTINGS)]), 20))

    with pytest.raises(StopError, match=f"partition 0: detector {kind.NAME} failed") as stopped:
        await world.run(records_of(transactions), batch_size=10)

    assert without_data(said) in str(stopped.value)
    assert world.kafka.scored == []
    if kind is Raising:
        assert f"at offset 6, transaction {transactions[6].id}: LookupError" in str(stopped.value)


@pytest.mark.parametrize("kind", [kind for kind in MISBEHAVING if kind is not ChangesTheWindow])
async def test_a_watching_detector_that_does_what_none_may_is_counted_and_said_once(
    kind: type[Largest], caplog: pytest.LogCaptureFixture
) -> None:
    transactions = [*traffic(60, users=2), *spending("13.00", "13.00")]
    counts, ensemble = WorkerMetrics(), Ensemble([MEAN], [kind(SETTINGS), largest()])
    world = World(Scorer(ensemble, 20))
    counts.scoring.begin(ensemble)
    world.observe = counts.scoring.observe

    await world.run(records_of(transactions), batch_size=10)

    assert flagged_by(world).keys() == replay(transactions).flagged
    shown = counts.text().decode()
    failed = f'txnwatch_shadow_total{{detector="{kind.NAME}",outcome="failed"}} '
    assert float(shown.partition(failed)[2].split()[0]) > 1
    assert 'txnwatch_shadow_total{detector="largest",outcome="failed"} 0.0' in shown
    assert len([one for one in caplog.messages if f"detector {kind.NAME} failed" in one]) == 1


async def test_one_that_changes_what_others_decide_by_stops_the_worker_also_where_it_only_watches() -> None:
    world = World(Scorer(Ensemble([MEAN], [ChangesTheWindow(SETTINGS)]), 20))

    with pytest.raises(StopError, match=r"changes_the_window failed.*: score_one changes the window"):
        await world.run(records_of(traffic(10)))


async def test_the_metrics_tell_which_detector_is_slow() -> None:
    now = [0.0]

    class Slow(Largest):
        def score_one(self, *given: Any) -> Any:
            now[0] += 0.5
            return super().score_one(*given)

        def learn_one(self, *given: Any, **more: Any) -> Any:
            now[0] += 0.25
            return super().learn_one(*given, **more)

    counts = WorkerMetrics()
    world = World(Scorer(Ensemble([MEAN], [Slow(SETTINGS)]), 20, clock=lambda: now[0]))
    world.observe = counts.scoring.observe

    await world.run(records_of(traffic(60, users=2)), batch_size=10)

    shown = counts.text().decode()
    for name, seconds in (("rolling_mean", 0.0), ("largest", 6 * 0.75)):
        assert f'txnwatch_detector_seconds_count{{detector="{name}"}} 6.0' in shown
        assert f'txnwatch_detector_seconds_sum{{detector="{name}"}} {seconds}' in shown


def test_what_only_watches_and_what_rules_do_is_counted_from_0_on() -> None:
    counts, rule = WorkerMetrics(), RuleSpec("rent", "amount > 0")
    counts.scoring.begin(Ensemble([MEAN], [largest()], rules=Rules([rule], ["rolling_mean", "largest"])))

    shown = counts.text().decode()
    for outcome in ("flagged", "failed"):
        assert f'txnwatch_shadow_total{{detector="largest",outcome="{outcome}"}} 0.0' in shown
        assert f'txnwatch_rules_total{{outcome="{outcome}",rule="rent"}} 0.0' in shown
    assert "txnwatch_lost_states_total 0.0" in shown


@pytest.mark.parametrize("runs", [[ODDS], [MEAN, ODDS]])
async def test_odds_say_the_same_deciding_and_watching(runs: list[Detector[Any]]) -> None:
    transactions = spending(*["10.00", "12.00"] * 8, "80.00")

    deciding = meta_of(await run(Ensemble(runs), transactions))
    watching = meta_of(await run(Ensemble([MEAN], [ODDS]), transactions))

    flag, shadow = deciding[-1], watching[-1]["shadow"]["odds"]
    assert (flag["detector"], flag["window"], shadow["window"]) == ("odds", 16, 16)
    assert shadow.keys() - {"score"} == flag.keys() - {"is_anomaly", "detector", "rule"}
    assert [one["is_anomaly"] for one in deciding] == ["shadow" in one for one in watching]
