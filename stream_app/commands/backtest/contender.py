"""A detector, or several that decide together, on its way through a history."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

import msgspec

from schemas.rule import sentence
from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction
from stream_app.commands.backtest.outcome import RanDetector
from stream_app.commands.backtest.windows import BoundedWindows
from stream_app.detectors import known
from stream_app.scoring import Arrival, Detector, Ensemble, Scorer, Verdict


@dataclass(slots=True)
class Verdicts:
    """What became of rows, one for each: its score and its flag, those of the first where it came again."""

    scores: list[float | None] = field(default_factory=list)
    """None of one that came again."""
    flags: dict[int, Flag] = field(default_factory=dict)
    """By the place of the flagged one."""
    again: list[int] = field(default_factory=list)
    """The places of duplicates and revisions."""
    duplicates: int = 0
    dropped: int = 0


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
        size = ensemble.deciding[0].settings.window_size
        self._scorer = Scorer(ensemble, size, by_currency=by_currency)
        self._windows = windows or BoundedWindows()
        self._next_offset = 0
        self._words = {one.NAME: one.WORDS for one in known(ensemble.all)}

    def __enter__(self) -> Self:
        self._windows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._windows.__exit__(*error)

    def judge(self, transactions: Sequence[Transaction]) -> Verdicts:
        """Score transactions, which come after all before."""
        first = self._next_offset
        self._next_offset += len(transactions)
        arrivals = [Arrival(offset, 0, one) for offset, one in enumerate(transactions, first)]
        windows = self._windows.of({one.user_id for one in transactions})
        scores = self._scorer.score(arrivals, windows)
        verdicts = Verdicts(duplicates=scores.duplicates, dropped=scores.dropped)
        if scores.duplicates or scores.revisions:
            self._fill(verdicts, scores.verdicts, first, len(transactions))
        else:
            verdicts.scores = [verdict.score for verdict in scores.verdicts]
        verdicts.flags = {one.offset - first: one.flag for one in scores.verdicts if one.flag is not None}
        return verdicts

    def explain(self, transaction: Transaction, flag: Flag) -> str:
        """A flag in one sentence."""
        return sentence(msgspec.json.decode(encode_scored(transaction, flag)[0]), self._words)

    def ran(self) -> Sequence[RanDetector]:
        """The detectors as they ran."""
        return [_ran(one) for one in self.ensemble.deciding]

    @staticmethod
    def _fill(verdicts: Verdicts, given: Sequence[Verdict], first: int, count: int) -> None:
        """Leave places open for those that came again."""
        verdicts.scores = [None] * count
        for verdict in given:
            verdicts.scores[verdict.offset - first] = verdict.score
        verdicts.again = [place for place, score in enumerate(verdicts.scores) if score is None]


def _ran(one: Detector[Any]) -> RanDetector:
    profile = None
    if one.profile is not None:
        profile = sha256(msgspec.json.encode(one.profile, order="deterministic")).hexdigest()[:8]
    settings = one.settings.model_dump(mode="json")
    return RanDetector(one.NAME, one.rule, one.sentence(), settings, profile)
