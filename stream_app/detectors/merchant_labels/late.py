"""Merchants' runs in memory, by labels that become known some time after their transactions."""

import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

from stream_app.detectors.merchant_labels.runs import with_label
from stream_app.scoring import MerchantRun

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_OnItsWay = tuple[datetime, int, str, int, bool, bool]
"""A label: known when, the how manieth; merchant and day, whether a fraud, and whether the amount says so."""


class LateRuns:
    """Knows each label `late` after its transaction, or when it is said to be known, in that order.

    >>> day = [datetime(2026, 1, number, tzinfo=UTC) for number in range(1, 10)]
    >>> runs = LateRuns(timedelta(days=2))
    >>> runs.put("m", day[0], fraud=True, explained=False)
    >>> runs.at("m", day[2]), runs.at("m", day[3]).frauds
    (None, 1)
    """

    def __init__(self, late: timedelta) -> None:
        self.late = min(late, _LATEST - _EARLIEST)
        self._runs = dict[str, MerchantRun | None]()
        self._on_their_way = list[_OnItsWay]()
        self._labels = count()
        self._now = _EARLIEST

    def known(self, date: datetime) -> datetime:
        """When the label of a transaction of that date is known."""
        return min(date, _LATEST - self.late) + self.late

    def put(
        self, merchant: str, date: datetime, *, fraud: bool, explained: bool, known: datetime | None = None
    ) -> None:
        """Let a label come in time."""
        day, known = date.toordinal(), known or self.known(date)
        heapq.heappush(self._on_their_way, (known, next(self._labels), merchant, day, fraud, explained))

    def at(self, merchant: str, date: datetime) -> MerchantRun | None:
        """The merchant's run at that date, or at the latest that was asked about."""
        if date > self._now:
            self._now = date
            self._learn(date)
        return self._runs.get(merchant)

    def _learn(self, now: datetime) -> None:
        while self._on_their_way and self._on_their_way[0][0] < now:
            _, _, merchant, day, fraud, explained = heapq.heappop(self._on_their_way)
            run = self._runs.get(merchant)
            self._runs[merchant] = with_label(run, day, fraud=fraud, explained=explained)
