"""The figures of one detector over a history, taken day by day, in UTC, as it is scored."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import compress, repeat
from math import inf
from typing import Any

import msgspec

from infra.produce.labels import Label
from stream_app.commands.backtest.ranks import Ranked, Ranking, ranking
from stream_app.commands.backtest.rows import Piece, Verdicts

_QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


class Scenario(msgspec.Struct, frozen=True):
    """How frauds of one kind were found among all that is no fraud."""

    frauds: int
    recall: float
    average_precision: float | None
    recall_at_precision_90: float | None


class BudgetFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What comes of flagging at most so many a day."""

    alerts_per_day: int
    threshold: float | None
    """The score from which on to flag; None: on some day more than that have the highest score of all."""
    flagged: int
    precision: float | None
    recall: float | None


class Summary(msgspec.Struct, frozen=True):
    """All figures; None where there is nothing to take them of."""

    transactions: int
    days: int
    flagged: int
    alerts_a_day: float
    most_alerts: int
    most_alerts_on: str | None
    frauds: int
    legitimate: int
    unlabelled: int
    precision: float | None
    recall: float | None
    average_precision: float | None
    auc: float | None
    recall_at_precision_90: float | None
    card_precision_100: float | None
    quantiles: Mapping[str, float]
    scenarios: Mapping[str, Scenario]
    budget: BudgetFigures | None


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


@dataclass(slots=True)
class Figures:
    """Counts what one detector did; `budget` where a number of alerts a day is asked for."""

    budget: Budget | None = None
    frauds: Ranked = field(default_factory=Ranked)
    others: Ranked = field(default_factory=Ranked)
    unlabelled: Ranked = field(default_factory=Ranked)
    by_scenario: dict[str, Ranked] = field(default_factory=dict)
    alerts: Counter[int] = field(default_factory=Counter)
    """By day; a day without any has none, and every day between the first and the last is one."""
    cards: CardPrecision = field(default_factory=CardPrecision)
    _caught: Counter[str] = field(default_factory=Counter)
    _flagged: Counter[Label] = field(default_factory=Counter)
    _first: int = 0
    _last: int = 0

    def add(self, rows: Piece, verdicts: Verdicts, counted_from: datetime) -> None:
        """Count those that got a first verdict, from a date on."""
        for day, places in _days(rows, verdicts, counted_from):
            if len(places) == len(rows.transactions):
                self._add_day(day, rows, verdicts.scores, [*verdicts.flags])
            else:
                scores = [verdicts.scores[place] for place in places]
                flagged = [at for at, place in enumerate(places) if place in verdicts.flags]
                self._add_day(day, rows.at(places), scores, flagged)

    def _add_day(self, day: int, rows: Piece, scores: Sequence[Any], flagged: Sequence[int]) -> None:
        self._first, self._last = min(self._first or day, day), max(self._last, day)
        self.alerts[day] += len(flagged)
        if self.budget is not None:
            self.budget.add(day, scores)
        if rows.labels:
            self._add_labelled(rows, scores, flagged)
            users = [transaction.user_id for transaction in rows.transactions]
            self.cards.add(day, users, scores, rows.labels)
        else:
            self.unlabelled.extend(scores)
            self._flagged[None] += len(flagged)

    @property
    def days(self) -> Sequence[int]:
        """All from the first to the last."""
        return range(self._first, self._last + 1) if self._first else []

    def summary(self) -> Summary:
        """All figures, which ends the last day."""
        ranked, days = self.ranking(), len(self.days)
        flagged, caught = self.alerts.total(), self._flagged[True]
        most_on, most = max(self.alerts.items(), key=lambda one: (one[1], -one[0]), default=(0, 0))
        return Summary(
            transactions=len(self.frauds) + len(self.others) + len(self.unlabelled),
            days=days,
            flagged=flagged,
            alerts_a_day=flagged / max(1, days),
            most_alerts=most,
            most_alerts_on=date.fromordinal(most_on).isoformat() if most else None,
            frauds=len(self.frauds),
            legitimate=len(self.others),
            unlabelled=len(self.unlabelled),
            precision=_share(caught, caught + self._flagged[False]) if len(self.frauds) else None,
            recall=_share(caught, len(self.frauds)),
            average_precision=ranked.average_precision,
            auc=ranked.auc,
            recall_at_precision_90=ranked.recall_at_precision,
            card_precision_100=self.cards.mean() if len(self.frauds) else None,
            quantiles=self._quantiles(),
            scenarios={name: self._scenario(name) for name in sorted(self.by_scenario)},
            budget=self._budget(),
        )

    def ranking(self) -> Ranking:
        """Over all frauds."""
        return ranking(self.frauds, self.others)

    def _add_labelled(self, rows: Piece, scores: Sequence[float], flagged: Sequence[int]) -> None:
        labels = rows.labels
        if True in labels or None in labels:
            for label, of in ((True, self.frauds), (False, self.others), (None, self.unlabelled)):
                of.extend(compress(scores, [one is label for one in labels]))
        else:
            self.others.extend(scores)
        self._flagged.update(labels[place] for place in flagged)
        if True in labels and rows.scenarios:
            for score, name in compress(zip(scores, rows.scenarios, strict=True), labels):
                self.by_scenario.setdefault(name, Ranked()).extend([score])
            self._caught.update(rows.scenarios[place] for place in flagged if labels[place])

    def _scenario(self, name: str) -> Scenario:
        frauds = self.by_scenario[name]
        ranked = ranking(frauds, self.others)
        recall = self._caught[name] / len(frauds)
        return Scenario(len(frauds), recall, ranked.average_precision, ranked.recall_at_precision)

    def _quantiles(self) -> dict[str, float]:
        both = Ranked.of_all(self.frauds, self.others, self.unlabelled)
        return {f"{share:g}": both.quantile(share) for share in _QUANTILES} if len(both) else {}

    def _budget(self) -> BudgetFigures | None:
        if self.budget is None:
            return None
        threshold = self.budget.threshold()
        if threshold is None:
            return BudgetFigures(self.budget.most, None, 0, None, None)
        caught, alarms, unknown = (
            ranked.at_least(threshold) for ranked in (self.frauds, self.others, self.unlabelled)
        )
        precision, recall = _share(caught, caught + alarms), _share(caught, len(self.frauds))
        return BudgetFigures(self.budget.most, threshold, caught + alarms + unknown, precision, recall)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _days(rows: Piece, verdicts: Verdicts, counted_from: datetime) -> Iterator[tuple[int, Sequence[int]]]:
    """The places that count, of each day."""
    day, count = rows.first.toordinal(), len(rows.transactions)
    if day == rows.last.toordinal() and rows.first >= counted_from and not verdicts.again:
        yield day, range(count)
        return
    days, again = defaultdict[int, list[int]](list), set(verdicts.again)
    for place, one in enumerate(rows.transactions):
        if one.txn_date >= counted_from and place not in again:
            days[one.txn_date.toordinal()].append(place)
    yield from days.items()
