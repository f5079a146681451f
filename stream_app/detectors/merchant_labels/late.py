"""Merchants' runs in memory, by labels that become known some time after their transactions."""

import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

from stream_app.detectors.merchant_labels.runs import with_label
from stream_app.scoring import MerchantRun

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_OnItsWay = tuple[datetime, int, str, bool, bool]
"""A label: of when, the how manieth; the merchant, whether a fraud, and whether the amount says so."""


class LateRuns:
    """Knows each label `late` after its transaction, in the order of the transactions.

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
        self._now = _EARLIEST + self.late

    def put(self, merchant: str, date: datetime, *, fraud: bool, explained: bool) -> None:
        """Let a label come in time."""
        heapq.heappush(self._on_their_way, (date, next(self._labels), merchant, fraud, explained))

    def at(self, merchant: str, date: datetime) -> MerchantRun | None:
        """The merchant's run at that date, or at the latest that was asked about."""
        if date > self._now:
            self._now = date
            self._learn(date - self.late)
        return self._runs.get(merchant)

    def _learn(self, known: datetime) -> None:
        while self._on_their_way and self._on_their_way[0][0] < known:
            paid, _, merchant, fraud, explained = heapq.heappop(self._on_their_way)
            run, day = self._runs.get(merchant), paid.toordinal()
            self._runs[merchant] = with_label(run, day, fraud=fraud, explained=explained)
