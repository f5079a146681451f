"""Labels reach detectors of a backtest when they would: later ones change nothing before."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from infra.produce.labels import Label
from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.late_labels import LateLabels
from stream_app.commands.backtest.rows import Piece, Verdicts
from stream_app.detectors.merchant_labels import MerchantLabels
from stream_app.detectors.merchant_labels.runs import with_label
from stream_app.detectors.odds.settings import Settings
from stream_app.scoring import Ensemble, MerchantRun
from tests.support.detectors import rolling_mean
from tests.support.spending import Spending

SPENDING = Spending(seed=7, users=40, days=30, merchants=12, compromised=0.02, factor=9.0, stolen=0.004)
HISTORY = [
    replace(one.transaction, id=f"{number:08}-0000-4000-8000-000000000000")
    for number, one in enumerate(SPENDING.history())
]
LABELS: list[Label] = [one.fraud for one in SPENDING.history()]
RANDOM = Random(1)
LATE = timedelta(days=7)


def pieces(labels: Sequence[Label], size: int) -> Iterator[Piece]:
    for at in range(0, len(HISTORY), size):
        yield Piece(HISTORY[at : at + size], list(labels[at : at + size]))


def judged(labels: Sequence[Label], late: timedelta = LATE, size: int = 500) -> Verdicts:
    detector, verdicts = MerchantLabels(Settings()), Verdicts()
    with Contender("", Ensemble([detector]), by_currency=True) as contender:
        judge = LateLabels(contender, late)
        for piece in pieces(labels, size):
            verdicts.add(judge.judge(piece))
    return verdicts


@pytest.fixture(scope="module")
def known() -> Verdicts:
    return judged(LABELS)


def changed(at: int, how: Callable[[Label], Label]) -> list[Label]:
    """The labels with all others from this row on."""
    return [*LABELS[:at], *map(how, LABELS[at:])]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda _: None, id="removed"),
        pytest.param(lambda label: not label, id="turned"),
        pytest.param(lambda _: RANDOM.random() < 0.5, id="shuffled"),
    ],
)
def test_no_label_changes_a_score_before_it_is_known(known: Verdicts, how: Callable[[Label], Label]) -> None:
    at = len(HISTORY) // 2
    reached = next(place for place, one in enumerate(HISTORY) if one.txn_date > HISTORY[at].txn_date + LATE)

    scores = judged(changed(at, how)).scores

    assert scores[:reached] == known.scores[:reached]
    assert scores[reached:] != known.scores[reached:]


def expected_runs(late: timedelta, explained: set[int]) -> Iterator[MerchantRun | None]:
    """At each row by brute force: all labels that are known by then, by the dates of their transactions."""
    for one in HISTORY:
        run = None
        for place, before in enumerate(HISTORY):
            if before.txn_date + late < one.txn_date and before.merchant_id == one.merchant_id:
                day, fraud = before.txn_date.toordinal(), bool(LABELS[place])
                run = with_label(run, day, fraud=fraud, explained=place in explained)
        yield run


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=3)])
def test_runs_are_those_of_the_labels_known_by_then(late: timedelta) -> None:
    asked = dict[tuple[str, datetime], MerchantRun | None]()
    verdicts, detector = Verdicts(), MerchantLabels(Settings())
    with Contender("", Ensemble([detector]), by_currency=True) as contender:
        judge = LateLabels(contender, late)
        runs_of = detector.runs

        def noted(merchant: str, date: datetime) -> MerchantRun | None:
            return asked.setdefault((merchant, date), runs_of(merchant, date))

        contender.ensemble.tell_runs(noted)
        for piece in pieces(LABELS, 97):
            verdicts.add(judge.judge(piece))

    explained = {place for place, flag in verdicts.flags.items() if "ratio" in flag.facts}
    asked_by_row = [asked[one.merchant_id or "", one.txn_date] for one in HISTORY]
    assert asked_by_row == [*expected_runs(late, explained)]
    assert sum(run is not None and run.frauds > 1 for run in asked_by_row) > 100


@settings(max_examples=5)
@given(st.integers(1, 3000))
def test_scores_do_not_depend_on_how_history_is_cut(known: Verdicts, size: int) -> None:
    assert judged(LABELS, size=size) == known


def test_the_earlier_labels_are_known_the_more_is_found(known: Verdicts) -> None:
    def found(verdicts: Verdicts) -> int:
        return sum(bool(LABELS[place]) for place in verdicts.flags)

    never, at_once = judged([None] * len(LABELS)), judged(LABELS, timedelta(0))

    assert found(never) < found(known) < found(at_once)
    assert judged(LABELS, timedelta.max).scores == never.scores


def test_a_detector_that_asks_for_no_labels_is_not_told(known: Verdicts) -> None:
    with Contender("", Ensemble([rolling_mean()]), by_currency=True) as contender:
        plain = contender.judge(HISTORY)
    with Contender("", Ensemble([rolling_mean()]), by_currency=True) as contender:
        assert LateLabels(contender, LATE).judge(Piece(HISTORY, LABELS)) == plain
    assert plain.scores != known.scores
