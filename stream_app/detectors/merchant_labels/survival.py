"""How long merchants stay compromised, by what came after each fraud."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from typing import Final, NamedTuple, Self

from stream_app.detectors.merchant_labels.chances import WHOLE
from stream_app.detectors.merchant_labels.profile import Profile

MOST_DAYS: Final = 90
"""Older runs are taken for this old."""
_UNLESS_TOLD = Profile()
_LENGTHS = len(_UNLESS_TOLD.sure)
_SURE = [one / WHOLE for one in _UNLESS_TOLD.sure]
_ENDS = 1 - _UNLESS_TOLD.lasts[0] / WHOLE
_ROUNDS = 30
# For so many frauds, and so many days of each age, the defaults count beside what was seen.
_WORTH = 2.0


class Step(NamedTuple):
    """From a run's latest fraud to the merchant's next label that says something."""

    frauds: int
    age: int
    """Days from the run's first fraud to its latest."""
    then: int
    """Days from the run's first fraud to the next label."""
    ended: bool
    """Whether that was legitimate."""


@dataclass(slots=True)
class Survival:
    """The chances that a merchant is compromised at all, and that it no longer is after one more day.

    Which frauds were of a compromised merchant is not known where a legitimate label follows, and on which
    day it ended is known to an interval alone: both are what is expected by the chances so far, again and
    again (expectation and maximisation; Turnbull's estimator of interval-censored lifetimes).
    """

    really: Sequence[float] = tuple(_SURE)
    """By how many frauds there were in a row, less one."""
    ends: Sequence[float] = (_ENDS,) * MOST_DAYS
    """By how many days it lasts."""
    _left: Sequence[float] = field(init=False)

    def __post_init__(self) -> None:
        self._left = [*accumulate((1 - end for end in self.ends), mul, initial=1.0)]

    @classmethod
    def fitted(cls, steps: Counter[Step]) -> Self:
        """The chances by which these steps are likeliest."""
        found = cls()
        for _ in range(_ROUNDS):
            found = found._nearer(steps)
        return found

    def sure(self) -> tuple[int, ...]:
        """The first chances in thousandths."""
        return tuple(map(_thousandths, self.really))

    def lasts(self) -> tuple[int, ...]:
        """The chances to last a day more in thousandths, up to where they stay as they are."""
        all_days = [_thousandths(1 - end) for end in self.ends]
        changes = [day for day in range(1, MOST_DAYS) if all_days[day] != all_days[day - 1]]
        return tuple(all_days[: (changes or [0])[-1] + 1])

    def _nearer(self, steps: Counter[Step]) -> Self:
        really, seen = [_WORTH * one for one in _SURE], [_WORTH] * _LENGTHS
        ended, risked = [_WORTH * _ENDS] * MOST_DAYS, [_WORTH] * MOST_DAYS
        for step, times in steps.items():
            at = min(step.frauds, _LENGTHS) - 1
            weight = times * self._really(step, at)
            seen[at] += times
            really[at] += weight
            for day in range(step.age, step.then):
                its = self._ended(step, day) if step.ended else 0.0
                ended[day] += weight * its
                risked[day] += weight * (self._reached(step, day) if step.ended else 1.0)
        return type(self)(
            [one / count for one, count in zip(really, seen, strict=True)],
            [min(end / risk, 0.999) for end, risk in zip(ended, risked, strict=True)],
        )

    def _really(self, step: Step, at: int) -> float:
        """How likely the merchant was compromised at the latest fraud."""
        if not step.ended:
            return 1.0
        over = 1 - self._left[step.then] / self._left[step.age]
        return self.really[at] * over / (1 - self.really[at] + self.really[at] * over)

    def _ended(self, step: Step, day: int) -> float:
        """How likely it was over after that day, of a step in which it was over some day."""
        return self._left[day] * self.ends[day] / (self._left[step.age] - self._left[step.then])

    def _reached(self, step: Step, day: int) -> float:
        """How likely it was so on that day, of the same."""
        return (self._left[day] - self._left[step.then]) / (self._left[step.age] - self._left[step.then])


def _thousandths(chance: float) -> int:
    return min(max(round(chance * WHOLE), 1), WHOLE - 1)
