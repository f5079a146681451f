"""What a history says of a currency: how much is spent, and above what nearly all was fraud."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

LEAST_FRAUDS: Final = 20
"""Below so many nothing is concluded from frauds."""

_BITS = 13  # of an amount: cells are a 4,000th to an 8,000th wide
_LEAST_ROWS = 100
_LEAST_LEGITIMATE = 1000
# A limit may leave one legitimate amount above it for so many frauds.
_FRAUDS_FOR_ONE = 20
# Amounts beyond so many medians are a mistake or a fraud, and one of 10^18 would be the mean of a million.
_MEDIANS = 20
_MOST_CELLS = 300_000


class Amounts:
    """Counts of all amounts by currency and size, in bounded memory."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[int, list[int]]] = defaultdict(dict)
        self._left = _MOST_CELLS

    def add(self, currency: str, amount: int, label: int) -> None:
        """Count an amount; `label`: 1 for a fraud, 0 for a legitimate one, -1 for neither."""
        shift = max(amount.bit_length() - _BITS, 0)
        lowest = amount >> shift << shift
        counts = self._cells[currency].get(lowest)
        if counts is None:
            if not self._left:
                return
            self._left -= 1
            counts = self._cells[currency][lowest] = [0, 0, 0]
        counts[label] += 1

    def means(self) -> dict[str, int]:
        """The mean of each currency that is common enough, without frauds, card checks and mistakes."""
        found = {currency: self._mean(currency) for currency in self._cells}
        return {currency: mean for currency, mean in sorted(found.items()) if mean}

    def limit(self, currency: str) -> int | None:
        """The amount above which nearly all were frauds; None where there is none, or labels cannot tell."""
        if sum(counts[0] for counts in self._cells[currency].values()) < _LEAST_LEGITIMATE:
            return None
        best, limit, frauds, gain = 0, None, 0, 0
        for lowest, (legitimate, fraud, _) in sorted(self._cells[currency].items(), reverse=True):
            frauds += fraud
            gain += fraud - _FRAUDS_FOR_ONE * legitimate
            if gain > best and frauds >= LEAST_FRAUDS:
                best, limit = gain, lowest - 1
        return limit

    def _mean(self, currency: str) -> int:
        cells = list(self._spent(currency))
        count = sum(times for _, times in cells)
        if count < _LEAST_ROWS:
            return 0
        most = _MEDIANS * _median(cells, count)
        kept = [(middle, times) for middle, times in cells if middle <= most]
        return sum(middle * times for middle, times in kept) // sum(times for _, times in kept)

    def _spent(self, currency: str) -> Iterator[tuple[int, int]]:
        for lowest, (legitimate, _, unknown) in sorted(self._cells[currency].items()):
            if lowest and legitimate + unknown:
                yield lowest + (1 << max(lowest.bit_length() - _BITS, 0)) // 2, legitimate + unknown


def _median(cells: list[tuple[int, int]], count: int) -> int:
    passed = 0
    for middle, times in cells:
        passed += times
        if 2 * passed >= count:
            return middle
    raise AssertionError("there are as many as were counted")
