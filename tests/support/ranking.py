"""How well a detector ranks a labelled history, and what a profile fitted to one is."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.profile import Profile
from stream_app.detectors.odds.settings import Settings
from stream_app.scoring import Detector
from stream_app.window import Window
from tests.support.spending import Labelled

Ranked = list[tuple[float, bool]]
"""Scores and whether it was a fraud, worst first."""
WARM_DAYS = 20


def fitted(history: Iterable[Labelled], label: Callable[[Labelled], bool | None]) -> Profile:
    """A profile of `odds` by these labels."""
    fitting = Odds.fitting(Settings())
    for one in history:
        fitting.add(one.transaction, label(one))
    return fitting.profile()


def ranked(detector: Detector[Any], history: Sequence[Labelled]) -> Ranked:
    """The scores of what the amounts say, once users are known."""
    windows, states = dict[str, Window](), dict[str, Any]()
    found: Ranked = []
    start = history[0].transaction.txn_date
    for transaction, fraud, explained in history:
        user, form = transaction.user_id, detector.STATE
        window, state = windows.setdefault(user, Window()), states.get(user, form and form.fresh)
        score, evidence = detector.score_one(window, state, transaction)
        if form:
            states[user] = detector.learn_one(window, state, transaction, flagged=evidence is not None)
        window.push(transaction.amount, bytes(20), 20)
        if fraud == explained and (transaction.txn_date - start).days >= WARM_DAYS:
            found.append((score, fraud))
    return sorted(found, reverse=True)


def figures(scores: Ranked) -> tuple[float, float]:
    """Average precision, and the recall at a precision of 0.9."""
    frauds, found, seen, average, recall = sum(fraud for _, fraud in scores), 0, 0, 0.0, 0.0
    for _, ties in groupby(scores, key=lambda one: one[0]):
        labels = [fraud for _, fraud in ties]
        seen, found = seen + len(labels), found + sum(labels)
        average += sum(labels) / frauds * found / seen
        if found >= 0.9 * seen:
            recall = found / frauds
    return average, recall
