"""Fits to labelled history how runs of frauds at merchants go on, and from which score on to flag."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import asdict, replace

from stream_app.detectors.merchant_labels.chances import Chances, together
from stream_app.detectors.merchant_labels.profile import Profile
from stream_app.detectors.merchant_labels.runs import with_label
from stream_app.detectors.merchant_labels.survival import MOST_DAYS, Step, Survival
from stream_app.detectors.odds.detector import threshold_by
from stream_app.detectors.odds.fitting import OddsFitting, Score, threshold_of
from stream_app.detectors.odds.profile import Profile as OfAmounts
from stream_app.detectors.odds.sample import UNKNOWN
from stream_app.scoring import MerchantRun

_MOST_ROWS = 1_000_000
# For the threshold labels are taken to come so many days late: with labels at once it would be too low.
_LATE_DAYS = 7


class _Paid(NamedTuple):
    """A row of the sample: whose merchant, on which day, its label, and the amount's score."""

    merchant: int
    day: int
    label: int
    score: int


class MerchantFitting(OddsFitting):
    """Learns what `odds` does, and from the same sample of users what comes after frauds at a merchant.

    Of histories of more than a million transactions the sample is of fewer users, and runs look shorter.
    """

    MOST_ROWS = _MOST_ROWS

    def profile(self) -> Profile:
        """What history says so far; where it says nothing, the defaults."""
        amounts = super().profile()
        flagged = threshold_by(self._settings, amounts)
        steps = Counter(steps_of(self._paid(amounts), flagged))
        survival = Survival.fitted(steps)
        profile = Profile(**asdict(amounts), sure=survival.sure(), lasts=survival.lasts())
        if amounts.threshold is None:
            return profile
        scores = sorted(self._together(profile, flagged), reverse=True)
        return replace(profile, threshold=threshold_of(scores, self._settings.odds_precision))

    def _paid(self, amounts: OfAmounts) -> Iterator[_Paid]:
        for row, score in self._weighed(amounts, _MOST_ROWS):
            yield _Paid(row.merchant, row.hour // 24, row.label, score)

    def _together(self, profile: Profile, flagged: int) -> Iterator[Score]:
        """The scores by amount and merchant of transactions whose labels are known, once users are."""
        chances, runs, waiting = (
            Chances(profile.sure, profile.lasts),
            dict[int, MerchantRun | None](),
            deque[_Paid](),
        )
        cold = self._cold(_MOST_ROWS)
        for at, one in enumerate(self._paid(profile)):
            while waiting and waiting[0].day + _LATE_DAYS <= one.day:
                _learn(runs, waiting.popleft(), flagged)
            waiting.append(one)
            if one.label != UNKNOWN and at >= cold:
                run = runs.get(one.merchant)
                chance = chances.of(run, one.day) if run else None
                yield together(one.score, chance.odds) if chance else one.score, one.label


def steps_of(paid: Iterable[_Paid], flagged: int) -> Iterator[Step]:
    """How each merchant's runs go on from label to label; amounts explain scores of `flagged` and more."""
    runs = dict[int, MerchantRun | None]()
    for one in paid:
        before = runs.get(one.merchant)
        after = _learn(runs, one, flagged)
        if before and before.frauds and after is not before:
            age = min(before.last - before.first, MOST_DAYS - 1)
            then = min(max(one.day - before.first, age), MOST_DAYS - 1)
            yield Step(before.frauds, age, then, ended=not one.label)


def _learn(runs: dict[int, MerchantRun | None], one: _Paid, flagged: int) -> MerchantRun | None:
    """The run of a row's merchant once its label is known."""
    run = runs.get(one.merchant)
    if not one.merchant or one.label == UNKNOWN:
        return run
    run = runs[one.merchant] = with_label(run, one.day, fraud=one.label == 1, explained=one.score >= flagged)
    return run
