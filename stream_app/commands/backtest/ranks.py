"""How well scores tell frauds from the rest, exactly: equal scores stand together, whatever the threshold.

Between two frauds' scores a lower threshold only adds false alarms. So frauds are gone through one by one,
and of all others no more is asked than how many reach a score.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import NamedTuple

_RUN = 1 << 20  # so many are sorted at a time: as Python's floats they take 32 MB


class Ranked:
    """Numbers, 8 bytes each, and how many of them reach a value.

    >>> scores = Ranked([3.0, 1.0, 2.0, 3.0])
    >>> len(scores), scores.at_least(3), scores.above(2), scores.quantile(0.5)
    (4, 2, 2, 2.0)
    """

    def __init__(self, scores: Iterable[float] = (), run: int = _RUN) -> None:
        self._run = run
        self._sorted: list[array[float]] = []
        self._new = array("d", scores)

    @classmethod
    def of_all(cls, *several: "Ranked") -> "Ranked":
        """The numbers of all of these."""
        together = cls()
        together._sorted = [run for one in several for run in one._runs()]  # noqa: SLF001 - this class's
        return together

    def __len__(self) -> int:
        return sum(map(len, self._sorted)) + len(self._new)

    def extend(self, scores: Iterable[float]) -> None:
        """Take more of them."""
        self._new.extend(scores)
        if len(self._new) >= self._run:
            self._sort()

    def at_least(self, value: float) -> int:
        """How many are `value` or more."""
        return sum(len(run) - bisect_left(run, value) for run in self._runs())

    def above(self, value: float) -> int:
        """How many are more than `value`."""
        return sum(len(run) - bisect_right(run, value) for run in self._runs())

    def descending(self) -> Iterator[tuple[float, int]]:
        """Each value and how many there are of it, from the largest on."""
        values = sorted(chain.from_iterable(self._runs()), reverse=True)
        return ((value, len([*same])) for value, same in groupby(values))

    def quantile(self, share: float) -> float:
        """The smallest of the values that at least this share of all do not exceed; there has to be one."""
        most_above = int((1 - share) * len(self))
        low = min(run[0] for run in self._runs())
        high = max(run[-1] for run in self._runs())
        if self.above(low) <= most_above:
            return low
        while low < (middle := low + (high - low) / 2) < high:
            low, high = (low, middle) if self.above(middle) <= most_above else (middle, high)
        return high

    def _runs(self) -> Sequence["array[float]"]:
        if self._new:
            self._sort()
        return self._sorted

    def _sort(self) -> None:
        self._sorted.append(array("d", sorted(self._new)))
        self._new = array("d")


class Point(NamedTuple):
    """What a threshold at a fraud's score flags: frauds, and others."""

    threshold: float
    caught: int
    alarms: int

    @property
    def precision(self) -> float:
        """The share of frauds in what is flagged."""
        return self.caught / (self.caught + self.alarms)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Figures over all thresholds; None without a fraud, or without anything else where that is needed."""

    average_precision: float | None
    """The mean of the precision over the frauds, each at its own score, as scikit-learn defines it."""
    auc: float | None
    """How probably a fraud has a higher score than another transaction; equal ones count half."""
    recall_at_precision: float | None
    """The largest recall at a precision of `at` or more; 0 where there is none."""
    curve: Sequence[tuple[float, float]]
    """Recall and precision, at most `points` of them."""


def points(frauds: Ranked, others: Ranked) -> Iterator[Point]:
    """Each threshold that catches a fraud more, from the highest on."""
    caught = 0
    for score, count in frauds.descending():
        caught += count
        yield Point(score, caught, others.at_least(score))


def ranking(frauds: Ranked, others: Ranked, *, at: float = 0.9, most: int = 400) -> Ranking:
    """The figures of frauds' scores and others'.

    >>> found = ranking(Ranked([3, 1]), Ranked([2, 0]), at=0.6)
    >>> found.average_precision, found.auc, found.recall_at_precision
    (0.8333333333333333, 0.75, 1.0)
    """
    total, found = len(frauds), [*points(frauds, others)]
    if not total:
        return Ranking(None, None, None, [])
    caught = [0, *(point.caught for point in found)]
    gained = [point.caught - before for point, before in zip(found, caught, strict=False)]
    precise = [point.caught for point in found if point.precision >= at]
    return Ranking(
        sum(more * point.precision for more, point in zip(gained, found, strict=True)) / total,
        _auc(found, gained, others, total),
        max(precise, default=0) / total,
        [(point.caught / total, point.precision) for point in _thinned(found, most)],
    )


def _auc(found: Sequence[Point], gained: Sequence[int], others: Ranked, total: int) -> float | None:
    if not len(others):
        return None
    worse = sum(
        more * (point.alarms + others.above(point.threshold))
        for more, point in zip(gained, found, strict=True)
    )
    return 1 - worse / (2 * total * len(others))


def _thinned(found: Sequence[Point], most: int) -> Sequence[Point]:
    """About so many of them, the first and the last always: evenly by how many frauds are caught."""
    if len(found) <= most:
        return found
    return [found[at * (len(found) - 1) // (most - 1)] for at in range(most)]
