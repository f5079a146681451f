"""Fits a profile to history: labelled, unlabelled, or labelled in part, wrongly and late."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp, log

from msgspec.structs import replace

from schemas.money import amount_text
from schemas.transaction import Transaction
from stream_app.detectors.odds.amounts import LEAST_FRAUDS, Amounts
from stream_app.detectors.odds.densities import NAT
from stream_app.detectors.odds.filter import Filter
from stream_app.detectors.odds.profile import Currency, Profile
from stream_app.detectors.odds.sample import UNKNOWN, Row, Sample
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State, hour_of

_MOST_ROWS = 600_000
_MOST_SEARCHED = 120_000
# Of a history's first quarter only states are taken: at its start all users are new, which they never are
# again.
_COLD = 4
# Next to each other, a step changes the odds about equally for all four.
_STEPS: dict[str, Sequence[float]] = {
    "factor": (2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0),
    "base": (0.001, 0.002, 0.005, 0.01, 0.02, 0.04),
    "share": (0.1, 0.2, 0.33, 0.5, 0.7),
    "hours": (72, 120, 240, 480, 960),
}
# A constant leaves its default where the labels are so many nats likelier with another.
_WORTH, _WORTH_OF_LIMITS = 2.0, 20.0
_MOST_NATS = 20
_BIN = NAT // 16
_ROUNDS = 6

Score = tuple[int, int]
"""A transaction's score and label."""


class OddsFitting:
    """Learns a profile from history in bounded memory.

    Each currency's mean needs no labels. With labels of some frauds its limit, the filter's constants and the
    threshold are fitted, too: the constants so that the labels of each transaction are likely by the score
    before it. That takes an unknown share of frauds which no amount explains, and of wrong labels, into
    account, so that they change little.
    """

    MOST_ROWS = _MOST_ROWS
    """Of the sample."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._untaught = settings.untaught()
        self._amounts, self._sample = Amounts(), Sample(self.MOST_ROWS)

    def add(self, transaction: Transaction, label: bool | None) -> None:  # noqa: FBT001 - as detectors are fitted
        """Take a transaction in: a fraud, legitimate, or None where that is not known."""
        if transaction.status.lower() in self._untaught:
            return
        known = UNKNOWN if label is None else int(label)
        self._amounts.add(transaction.currency.upper(), transaction.amount, known)
        self._sample.add(transaction, hour_of(transaction.txn_date), known)

    def profile(self) -> Profile:
        """What history says so far; where it says nothing, the defaults."""
        profile = Profile(
            currencies={code: self._currency(code, mean) for code, mean in self._amounts.means().items()}
        )
        labels = Counter(row.label for row in self._sample.rows(_MOST_SEARCHED))
        if not LEAST_FRAUDS <= labels[1] < labels[0]:
            return profile
        profile = self._searched(profile)
        scores = sorted(self._scores(profile, _MOST_ROWS), reverse=True)
        return replace(profile, threshold=threshold_of(scores, self._settings.odds_precision))

    def _currency(self, code: str, mean: int) -> Currency:
        limit = self._amounts.limit(code)
        return Currency(amount_text(mean), None if limit is None else amount_text(limit))

    def _searched(self, profile: Profile) -> Profile:
        """Climb from the defaults, one step of one constant at a time, while the labels become likelier."""
        profile, best = self._limited(profile)
        for _ in range(_ROUNDS):
            before = best
            for name in _STEPS:
                profile, best = self._climbed(name, profile, best)
            if best == before:
                break
        return profile

    def _limited(self, profile: Profile) -> tuple[Profile, float]:
        """Leave limits out whose frauds the odds explain as well: a limit is never wrong by half."""
        free = {code: Currency(one.mean) for code, one in profile.currencies.items()}
        without = replace(profile, currencies=free)
        likelihood, other = self._likelihood(profile), self._likelihood(without)
        return (profile, likelihood) if likelihood > other + _WORTH_OF_LIMITS else (without, other)

    def _climbed(self, name: str, profile: Profile, best: float) -> tuple[Profile, float]:
        steps = _STEPS[name]
        for way in (-1, 1):
            at, start = steps.index(getattr(profile, name)) + way, best
            while 0 <= at < len(steps):
                tried = replace(profile, **{name: steps[at]})
                likelihood = self._likelihood(tried)
                if likelihood <= best + _WORTH:
                    break
                profile, best, at = tried, likelihood, at + way
            if best > start:
                break
        return profile, best

    def _likelihood(self, profile: Profile) -> float:
        return likelihood_of(Counter(_binned(self._scores(profile, _MOST_SEARCHED))))

    def _scores(self, profile: Profile, most: int) -> Iterator[Score]:
        """The scores of transactions whose labels are known, once users are."""
        cold = self._cold(most)
        for at, (row, score) in enumerate(self._weighed(profile, most)):
            if row.label != UNKNOWN and at >= cold:
                yield score, row.label

    def _cold(self, most: int) -> int:
        """How many of the rows only warm up."""
        return self._sample.count(most) // _COLD

    def _weighed(self, profile: Profile, most: int) -> Iterator[tuple[Row, int]]:
        """The sample's rows with their scores."""
        tried = Filter(profile, self._settings.odds_row)
        known = [tried.known(code) for code in self._sample.currencies]
        states = [State()] * len(known)
        for row in self._sample.rows(most):
            key, amount, hour, *_ = row
            its = known[key]
            weighed = tried.weigh(states[key], amount, hour, its)
            states[key] = tried.learn(states[key], amount, hour, its, weighed)
            yield row, weighed[0]


def threshold_of(scores: Sequence[Score], precision: float) -> int | None:
    """The threshold of the best F-measure among those of that precision at least; `scores` fall.

    None where none has it with frauds enough to tell: then the odds alone decide.

    >>> threshold_of([(9, 1)] * 30 + [(5, 1), (5, 1), (4, 0), (3, 1), (2, 0), (2, 0)], 0.95)
    3
    """
    frauds, found, best, threshold = sum(label for _, label in scores), 0, 0.0, None
    for at, (score, label) in enumerate(scores, 1):
        found += label
        if at < len(scores) and scores[at][0] == score:
            continue
        measure = 2 * found / (at + frauds)
        if found >= max(LEAST_FRAUDS, precision * at) and measure > best:
            best, threshold = measure, score
    return threshold


def _binned(scores: Iterator[Score]) -> Iterator[Score]:
    most = _MOST_NATS * NAT // _BIN
    return ((max(min(score // _BIN, most), -most), label) for score, label in scores)


def likelihood_of(counts: Counter[Score]) -> float:
    """How likely labels are by scores (in 1/16 nat, counted), as a logarithm.

    A fraud that its score does not explain has a chance that is the same for all, and so has a fraud that was
    labelled as legitimate; both are what fits best, by expectation and maximisation.
    """
    cells = [(1 / (1 + exp(-score / 16)), label, count) for (score, label), count in counts.items()]
    unexplained, missed = 0.001, 0.001
    for _ in range(10):
        frauds = sum(p * count for p, _, count in cells)
        others = sum(count for *_, count in cells) - frauds
        unexplained = sum(
            count * _share((1 - p) * unexplained, p * (1 - missed)) for p, label, count in cells if label
        ) / max(others, 1.0)
        missed = sum(
            count * _share(p * missed, (1 - p) * (1 - unexplained)) for p, label, count in cells if not label
        ) / max(frauds, 1.0)
        unexplained, missed = (min(max(one, 1e-6), 0.9) for one in (unexplained, missed))
    chances = ((p * (1 - missed) + (1 - p) * unexplained, label, count) for p, label, count in cells)
    return sum(count * log(chance if label else 1 - chance) for chance, label, count in chances)


def _share(one: float, other: float) -> float:
    return one / (one + other)
