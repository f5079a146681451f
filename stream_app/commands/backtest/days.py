"""What stands out day by day, in UTC: alerts, the highest scores, and the users behind them."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from math import inf

CARDS = 100
"""How many users a day are looked at for the card precision, as the Fraud Detection Handbook does."""


@dataclass(slots=True)
class CardPrecision:
    """Of the 100 users with the highest scores of a day, the share with a fraud that day; the mean over days.

    As the Fraud Detection Handbook measures it (its card precision top-100): the day's highest score counts
    for a user, and one found is out of all later days. Users of equal scores stand as they arrived.
    """

    cards: int = CARDS
    _found: set[str] = field(default_factory=set)
    _day: int = -1
    _best: dict[str, float] = field(default_factory=dict)
    _frauds: set[str] = field(default_factory=set)
    _shares: list[float] = field(default_factory=list)

    def add(
        self, day: int, users: Sequence[str], scores: Sequence[float], labels: Sequence[bool | None]
    ) -> None:
        """Count transactions of a day; those of a day before count for the day that is under way."""
        if day > self._day:
            self._close()
            self._day = day
        best, frauds = self._best, self._frauds
        if None in labels:
            known = [label is not None for label in labels]
            users, scores = [*compress(users, known)], [*compress(scores, known)]
            labels = [*compress(labels, known)]
        # Each pair is made once the one before is in, so that a user who comes again has the higher of both.
        best.update(zip(users, map(max, map(best.get, users, repeat(-inf)), scores), strict=True))
        if True in labels:
            frauds.update(compress(users, labels))

    def mean(self) -> float | None:
        """The mean over all days, which ends them; None where there was none."""
        self._close()
        return sum(self._shares) / len(self._shares) if self._shares else None

    def _close(self) -> None:
        if not self._best:
            return
        left = [user for user in self._best if user not in self._found]
        first = heapq.nlargest(self.cards, left, key=self._best.__getitem__)
        found = self._frauds.intersection(first)
        self._shares.append(len(found) / self.cards)
        self._found |= found
        self._best, self._frauds = {}, set()


@dataclass(slots=True)
class Budget:
    """Which threshold gives at most so many alerts on every day."""

    most: int
    _highest: dict[int, list[float]] = field(default_factory=dict)

    def add(self, day: int, scores: Iterable[float]) -> None:
        """Count scores of a day."""
        kept = self._highest.get(day, [])
        self._highest[day] = heapq.nlargest(self.most + 1, [*kept, *scores])

    def threshold(self) -> float | None:
        """The lowest score from which on to flag; None where the highest one comes too often on a day.

        Of equal scores all are flagged or none.
        """
        too_many = max(
            (scores[-1] for scores in self._highest.values() if len(scores) > self.most), default=-inf
        )
        return min(
            (score for scores in self._highest.values() for score in scores if score > too_many), default=None
        )
