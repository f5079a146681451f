"""Flags an amount that is more than a multiple of the mean of the user's last amounts."""

from dataclasses import dataclass
from fractions import Fraction

from schemas.money import amount_text
from schemas.scored import Flag
from stream_app.window import Window


@dataclass(frozen=True, slots=True)
class RollingMean:
    """The default rule: with `minimum` amounts in a window of `size`, flag `amount > factor x mean`.

    Exact: amounts are integer hundredths and both sides are multiplied out, so that nothing rounds.
    A window whose mean is 0 flags nothing.

    >>> rule = RollingMean(size=20, minimum=2, factor=Fraction(5))
    >>> window = Window()
    >>> for amount in (100, 300):
    ...     rule.learn_one(window, amount, bytes(16))
    >>> rule.score_one(window, 1000) is None  # 10.00 is exactly 5 x 2.00
    True
    >>> rule.score_one(window, 1001)
    Flag(detector='rolling_mean', mean='2.00', window=2, ratio=5.005, threshold='10.00')
    """

    size: int = 20
    minimum: int = 10
    factor: Fraction = Fraction(5)

    def __post_init__(self) -> None:
        """Refuse a rule that could never flag."""
        if self.minimum > self.size:
            raise ValueError(f"the minimum of {self.minimum} amounts never fits a window of {self.size}")

    def score_one(self, window: Window, amount: int) -> Flag | None:
        """The flag of an amount above the threshold, else None."""
        count, total = window.count, window.total
        if count < self.minimum or not total:
            return None
        if amount * count * self.factor.denominator <= self.factor.numerator * total:
            return None
        mean = Fraction(total, count)
        return Flag(
            detector="rolling_mean",
            mean=amount_text(round(mean)),
            window=count,
            ratio=round(float(amount / mean), 4),
            threshold=amount_text(round(mean * self.factor)),
        )

    def learn_one(self, window: Window, amount: int, transaction_id: bytes) -> None:
        """Let the amount join; flagged ones do too."""
        window.push(amount, transaction_id, self.size)
