"""How likely a fraud is by its merchant's run, and by both amount and merchant: in integers alone."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

from stream_app.detectors.odds.densities import NAT
from stream_app.detectors.odds.filter import ABOVE_LIMIT
from stream_app.detectors.odds.table import logarithm
from stream_app.scoring import MerchantRun

WHOLE: Final = 1000
"""A chance of 1."""

_MOST_DAYS = 400
_BITS = 60
_NATS = 14  # two chances that are further apart than e^14: the smaller one adds nothing


class Chance(NamedTuple):
    """How likely all is fraud at a merchant: in 1/1000, and as log odds in 1/512 nat."""

    of_thousand: int
    odds: int


class Chances:
    """By a run's length, its age and the time since its last fraud.

    A merchant is compromised in `sure[n - 1]` of 1,000 cases as of the last of n frauds in a row; one that
    has been so for n days still is a day later in `lasts[n]` of 1,000. What a list does not reach is as its
    last entry says.
    """

    def __init__(self, sure: Sequence[int], lasts: Sequence[int]) -> None:
        self._sure, self._lasts = sure, lasts
        self._known: dict[tuple[int, int, int], Chance | None] = {}

    def of(self, run: MerchantRun, day: int) -> Chance | None:
        """The chance on this day; None: none to speak of."""
        if not run.frauds:
            return None
        key = (min(run.frauds, len(self._sure)), run.last - run.first, min(day - run.last, _MOST_DAYS))
        if key not in self._known:
            self._known[key] = self._chance(*key)
        return self._known[key]

    def _chance(self, frauds: int, age: int, later: int) -> Chance | None:
        chance = Fraction(self._sure[frauds - 1], WHOLE)
        for day in range(age, age + later):
            chance *= Fraction(self._lasts[min(day, len(self._lasts) - 1)], WHOLE)
        of_thousand = chance.numerator * WHOLE // chance.denominator
        return Chance(of_thousand, logarithm(chance / (1 - chance))) if of_thousand else None


def together(amount: int, merchant: int) -> int:
    """The log odds of `1 - (1 - p) (1 - q)` by those of p and of q, in 1/512 nat.

    Above a limit an amount stays where it is, as those rank among themselves.

    >>> together(0, 0), together(-40 * NAT, 512), together(20 * NAT, 0) - 20 * NAT
    (563, 512, 355)
    """
    if amount >= ABOVE_LIMIT:
        return amount
    return _sum(_sum(amount, merchant), amount + merchant)


def _sum(one: int, other: int) -> int:
    """The logarithm of a sum by the logarithms of its parts."""
    apart, table = abs(one - other), _sums()
    return max(one, other) + (table[apart] if apart < len(table) else 0)


@cache
def _sums() -> Sequence[int]:
    """log(1 + e^-d) in 1/512 nat, by d in the same unit: the integral of 1 / (1 + e^d) from its far end."""
    unit, steps = 1 << _BITS, _NATS * NAT
    half = unit + unit // (2 * NAT) + unit // (8 * NAT * NAT)  # e^(1/1024), to 2^-32
    powers = accumulate(range(steps - 1), lambda power, _: power * half * half >> 2 * _BITS, initial=half)
    slopes = [(unit << _BITS) // (unit + power) for power in powers]
    sums = [*accumulate(reversed(slopes))]
    return [(one + unit // 2) >> _BITS for one in reversed(sums)]
