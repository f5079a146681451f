"""What `merchant_labels` finds in histories it was not fitted to, and what it costs: floors, not records."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from statistics import median
from time import process_time

import msgspec
import pytest

from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.late_labels import LateLabels
from stream_app.commands.backtest.rows import Piece
from stream_app.detectors.merchant_labels import MerchantLabels
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State
from stream_app.scoring import Detector, Ensemble, MerchantRun
from stream_app.window import Window
from tests.support.ranking import WARM_DAYS, Ranked, figures, fitted
from tests.support.spending import Labelled, Spending

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPENDING = Spending(seed=21, users=400, days=70, merchants=400, compromised=0.0005, stolen=0.0005, factor=7.0)
LATE, LEAST_GAIN = 7, 0.25


def ranked(detector: Detector[State], history: Sequence[Labelled]) -> Ranked:
    """All scores, once users are known, with labels that come seven days late."""
    rows = Piece(
        [msgspec.structs.replace(one.transaction, id=f"{at:032x}") for at, one in enumerate(history)],
        [one.fraud for one in history],
    )
    with Contender("", Ensemble([detector]), by_currency=True) as contender:
        scores = LateLabels(contender, timedelta(LATE)).judge(rows).scores
    start = history[0].transaction.txn_date + timedelta(WARM_DAYS)
    found = zip(scores, history, strict=True)
    return sorted(
        ((score or 0, one.fraud) for score, one in found if one.transaction.txn_date >= start), reverse=True
    )


@pytest.mark.parametrize("lasting", [20, 30, 40])
def test_what_is_found_in_another_history(
    lasting: int, record_property: Callable[[str, object], None]
) -> None:
    spending = replace(SPENDING, compromised_days=lasting)
    history, later = list(spending.history()), list(replace(spending, seed=spending.seed + 100).history())
    fitting = MerchantLabels.fitting(Settings())
    for one in history:
        fitting.add(one.transaction, one.fraud)

    alone = figures(ranked(Odds(Settings(), fitted(history, lambda one: one.fraud)), later))
    default = figures(ranked(MerchantLabels(Settings()), later))
    both = figures(ranked(MerchantLabels(Settings(), fitting.profile()), later))

    measured = (alone, default, both)
    record_property("measured", measured)
    assert both[0] >= alone[0] + LEAST_GAIN, measured
    assert both[0] >= default[0] >= alone[0] + 0.15, measured
    assert both[1] >= alone[1] + LEAST_GAIN, measured


def seconds(detector: Odds, history: Sequence[Labelled]) -> float:
    """Processor time of scoring and learning, of states in memory."""
    states, window = {one.transaction.user_id: State() for one in history}, Window()
    began = process_time()
    for transaction, *_ in history:
        user = transaction.user_id
        _, evidence = detector.score_one(window, states[user], transaction)
        states[user] = detector.learn_one(window, states[user], transaction, flagged=evidence is not None)
    return process_time() - began


def test_scoring_costs_little_more_than_odds(record_property: Callable[[str, object], None]) -> None:
    history = list(replace(SPENDING, users=1000, days=20).history())
    odds, detector = Odds(Settings()), MerchantLabels(Settings())
    # One merchant of a hundred has a run.
    runs = {str(merchant): MerchantRun(merchant % 100 == 0, 740_000, 740_010) for merchant in range(400)}
    detector.runs = lambda merchant, _: runs.get(merchant)

    ratio = median(seconds(detector, history) / seconds(odds, history) for _ in range(7))

    record_property("ratio", ratio)
    assert ratio <= 1.5
