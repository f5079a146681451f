"""A detector, or several that decide together, on its way through a history."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Self

import msgspec

from schemas.rule import sentence
from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction
from stream_app.commands.backtest.outcome import RanDetector
from stream_app.commands.backtest.rows import Verdicts
from stream_app.commands.backtest.windows import BoundedWindows, quick_entries
from stream_app.detectors import known
from stream_app.scoring import Arrival, Detector, Ensemble, Scorer
from stream_app.window import Window
from stream_app.window.recent import KEY_BYTES


class Contender:
    """Scores history as a worker would, with windows of its own, which are there while it is entered."""

    def __init__(
        self,
        name: str,
        ensemble: Ensemble,
        *,
        by_currency: bool,
        windows: BoundedWindows | None = None,
    ) -> None:
        self.name, self.ensemble = name, ensemble
        self._size = ensemble.deciding[0].settings.window_size
        self._by_currency = by_currency
        self._scorer = Scorer(ensemble, self._size, by_currency=by_currency, entries=quick_entries)
        self._windows = windows or BoundedWindows()
        self._seen = 0
        self._kept: Any = ensemble.only

    def __enter__(self) -> Self:
        self._windows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._windows.__exit__(*error)

    def judge(self, transactions: Sequence[Transaction]) -> Verdicts:
        """Score transactions, which come after all before."""
        windows = self._windows.of([one.user_id for one in transactions])
        verdicts = Verdicts()
        # The scorer sees by the last one that detectors with a state change nothing.
        rest = max(len(transactions) - self.ensemble.has_state, 0) if self.ensemble.alone else 0
        self._score_quickly(transactions[:rest], windows, verdicts)
        if transactions[rest:]:
            self._score(transactions[rest:], windows, verdicts)
        self._seen += len(transactions)
        return verdicts

    def _score_quickly(
        self, transactions: Sequence[Transaction], windows: Mapping[str, Window], verdicts: Verdicts
    ) -> None:
        """Do what the scorer does for ordinary transactions, and leave all others to it."""
        add, size, by_currency = verdicts.scores.append, self._size, self._by_currency
        score_one, has_state = self.ensemble.all[0].score_one, self.ensemble.has_state
        for one, entry in zip(transactions, quick_entries(transactions), strict=True):
            window = windows[one.user_id]
            is_other = one.currency != window.currency and by_currency
            if entry[:KEY_BYTES] in window.recent or (is_other and not _is_first(window, one)):
                self._score([one], windows, verdicts)
                continue
            try:
                score, evidence = self._ask(window, one) if has_state else score_one(window, None, one)
            except Exception:  # noqa: BLE001 - the scorer says what it is
                evidence = ...
            if evidence is not None:
                self._score([one], windows, verdicts)
                continue
            add(score)
            window.push(one.amount, entry, size)

    def _ask(self, window: Window, one: Transaction) -> tuple[float, Any]:
        """Score by the one detector, which learns of what it does not flag."""
        detector, kept = self.ensemble.all[0], self._kept
        state, _ = kept.read_alone(window.state)
        score, evidence = detector.score_one(window, state, one)
        if evidence is None:
            window.state = kept.pack(detector.learn_one(window, state, one, flagged=False))
        return score, evidence

    def _score(
        self, transactions: Sequence[Transaction], windows: Mapping[str, Window], verdicts: Verdicts
    ) -> None:
        """Score what follows those that have their verdicts."""
        first = len(verdicts.scores)
        arrivals = [Arrival(self._seen + at, 0, one) for at, one in enumerate(transactions, first)]
        its = {one.user_id: windows[one.user_id] for one in transactions}
        found = self._scorer.score(arrivals, its)
        verdicts.scores += [None] * len(arrivals)
        for verdict in found.verdicts:
            place = verdict.offset - self._seen
            verdicts.scores[place] = verdict.score
            if verdict.flag and not verdict.revision:
                verdicts.flags[place] = verdict.flag
        if found.duplicates or found.revisions:
            verdicts.again += [at for at in range(first, len(verdicts.scores)) if verdicts.scores[at] is None]
        verdicts.duplicates += found.duplicates

    def explain(self, transaction: Transaction, flag: Flag) -> str:
        """A flag in one sentence."""
        return explained(transaction, flag, self.ensemble)

    def ran(self) -> Sequence[RanDetector]:
        """The detectors as they ran."""
        return ran_by(self.ensemble)


def explained(transaction: Transaction, flag: Flag, ensemble: Ensemble) -> str:
    """A flag in one sentence, in the words of these detectors and of all that are known."""
    words = {one.NAME: one.WORDS for one in known(ensemble.all)}
    return sentence(msgspec.json.decode(encode_scored(transaction, flag)[0]), words)


def ran_by(ensemble: Ensemble) -> Sequence[RanDetector]:
    """The detectors that decide."""
    return [_ran(one) for one in ensemble.deciding]


def _is_first(window: Window, one: Transaction) -> bool:
    """Whether nothing is known of the user: the window becomes that of the transaction's currency."""
    if is_first := window.is_new:
        window.use(one.currency)
    return is_first


def _ran(one: Detector[Any]) -> RanDetector:
    profile = None
    if one.profile is not None:
        profile = sha256(msgspec.json.encode(one.profile, order="deterministic")).hexdigest()[:8]
    settings = {name: value for name, value in one.settings.model_dump(mode="json").items() if value != ""}
    return RanDetector(one.NAME, one.rule, one.sentence(), one.threshold, settings, profile)
