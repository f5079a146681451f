"""What `odds` finds in histories that it was not fitted to, and what that costs: floors, not records."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from time import process_time
from typing import Any

import pytest

from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.settings import Settings
from stream_app.scoring import Detector
from stream_app.window import Window
from tests.support.detectors import rolling_mean
from tests.support.ranking import figures, fitted, ranked
from tests.support.spending import Labelled, Spending

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPENDINGS = {
    "as usual": Spending(seed=11, users=600, days=50, limit=25_000, unexplained=0.002),
    "little": Spending(seed=12, users=600, days=50, factor=3.0, share=0.6, stolen_days=20),
    "much and rarely": Spending(seed=13, users=600, days=50, factor=12.0, share=0.15, limit=18_000),
}
FLOORS = {
    # With a profile fitted to labels: AP, R@P90, precision and recall at its threshold; AP without labels.
    "as usual": (0.95, 0.9, 0.94, 0.85, 0.65),
    "little": (0.85, 0.7, 0.93, 0.45, 0.85),
    "much and rarely": (0.98, 0.97, 0.97, 0.95, 0.1),
}


@pytest.mark.parametrize("name", SPENDINGS)
def test_what_is_found_in_another_history(name: str, record_property: Callable[[str, object], None]) -> None:
    spending = SPENDINGS[name]
    history, later = list(spending.history()), list(replace(spending, seed=spending.seed + 100).history())
    labelled = Odds(Settings(), fitted(history, lambda one: one.fraud))

    scores = ranked(labelled, later)
    average, recall = figures(scores)
    flags = [fraud for score, fraud in scores if score >= labelled.threshold]
    precision, frauds = sum(flags) / len(flags), sum(fraud for _, fraud in scores)
    unlabelled, _ = figures(ranked(Odds(Settings(), fitted(history, lambda _: None)), later))
    default, _ = figures(ranked(rolling_mean(), later))

    measured = (average, recall, precision, sum(flags) / frauds, unlabelled)
    record_property("measured", measured)
    assert all(one >= floor for one, floor in zip(measured, FLOORS[name], strict=True)), measured
    assert average > default


def seconds(detector: Detector[Any], history: Sequence[Labelled]) -> float:
    """Processor time of scoring, and of a push or of learning."""
    window_of = {one.transaction.user_id: Window() for one in history}
    form, entry = detector.STATE, bytes(20)
    states = dict.fromkeys(window_of, form and form.fresh)
    began = process_time()
    for transaction, *_ in history:
        user = transaction.user_id
        window, state = window_of[user], states[user]
        _, evidence = detector.score_one(window, state, transaction)
        if form:
            states[user] = detector.learn_one(window, state, transaction, flagged=evidence is not None)
        else:
            window.push(transaction.amount, entry, 20)
    return process_time() - began


def test_scoring_and_learning_cost_at_most_two_and_a_half_times_the_defaults() -> None:
    history = list(Spending(seed=5, users=1000).history())
    odds, default = Odds(Settings(), fitted(history, lambda _: None)), rolling_mean()

    times = [seconds(odds, history) / seconds(default, history) for _ in range(7)]

    assert median(times) <= 2.5
