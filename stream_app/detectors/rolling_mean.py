"""Flags an amount that is more than a multiple of the mean of the user's last amounts."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf, nextafter
from typing import Annotated

import msgspec
from msgspec.structs import replace
from pydantic import Field, ValidationInfo, field_validator

from infra.runtime.settings import WindowSettings
from schemas.money import amount_text
from schemas.rule import Line, Words
from schemas.transaction import Transaction
from stream_app.scoring import Detector
from stream_app.window import Window

_Decimal = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]*)\.[0-9]{2}$")]
_NOTHING = (0.0, None)


class Evidence(msgspec.Struct, frozen=True):
    """What a flagged amount was compared with."""

    mean: Annotated[_Decimal, msgspec.Meta(description="Of the amounts in the user's window.")]
    window: Annotated[int, msgspec.Meta(description="How many amounts the window held.", ge=1)]
    ratio: Annotated[float, msgspec.Meta(description="How many times the mean the amount is.", gt=0)]
    threshold: Annotated[_Decimal, msgspec.Meta(description="What the amount is above.")]


class Settings(WindowSettings):
    """When an amount is flagged."""

    window_minimum: int = Field(10, ge=1)
    """How many there have to be before anything is flagged."""
    factor: Fraction = Field(Fraction(5), gt=0)
    """How many times the mean an amount has to exceed to be flagged."""

    @field_validator("window_minimum")
    @classmethod
    def _can_be_reached(cls, minimum: int, info: ValidationInfo) -> int:
        if minimum > info.data.get("window_size", minimum):
            raise ValueError("is more than TXNWATCH_WINDOW_SIZE: nothing would ever be flagged")
        return minimum


class RollingMean(Detector[None]):
    """The default rule: with `window_minimum` amounts in the window, flag `amount > factor x mean`.

    Exact: amounts are integer hundredths and both sides are multiplied out, so that nothing rounds.
    A window whose mean is 0 flags nothing.

    >>> from datetime import UTC, datetime
    >>> def of(amount):
    ...     return Transaction("", "", amount, "INR", datetime(2018, 4, 1, tzinfo=UTC), "paid", None)
    >>> rule = RollingMean(Settings(window_size=20, window_minimum=2, factor=Fraction(5)))
    >>> window = Window.of([100, 300])
    >>> rule.score_one(window, None, of(1000))  # 10.00 is exactly 5 x 2.00
    (5.0, None)
    >>> rule.score_one(window, None, of(1001))
    (5.005, Evidence(mean='2.00', window=2, ratio=5.005, threshold='10.00'))
    """

    NAME = "rolling_mean"
    VERSION = 1
    EVIDENCE = Evidence
    SETTINGS = Settings
    WORDS = Words(
        flag="{amount} is {ratio} this user's mean of {mean} over {window} transactions",
        cell="{ratio} the mean of {mean}",
        fields={"mean": "money", "window": "count", "ratio": "times", "threshold": "money"},
    )

    def __init__(self, settings: Settings, profile: msgspec.Struct | None = None) -> None:
        super().__init__(settings, profile)
        self._minimum = settings.window_minimum
        self._factor = settings.factor
        self._nearest = float(settings.factor)
        self._times, self._over = settings.factor.as_integer_ratio()
        self.threshold = nextafter(self._nearest, inf)

    def sentence(self) -> str:
        """What is flagged, in one sentence."""
        factor, minimum, size = float(self._factor), self._minimum, self.settings.window_size
        return (
            f"An amount is flagged above {factor:g} times the mean of the user's last {size} before it, "
            f"from {minimum} on."
        )

    def lines(self) -> Sequence[Line]:
        """The mean, and the threshold over it."""
        mean = Line("rolling mean", of="mean", window=self.settings.window_size, minimum=self._minimum)
        return [mean, replace(mean, name="threshold", factor=float(self._factor), threshold=True)]

    def score_one(
        self, window: Window, state: None, transaction: Transaction
    ) -> tuple[float, Evidence | None]:
        """How many times the mean the amount is, 0 where nothing can be flagged; the evidence of a flag."""
        count, total = window.count, window.total
        if count < self._minimum or not total:
            return _NOTHING
        amount = transaction.amount * count
        ratio = amount / total
        # Dividing integers rounds to the nearest float: what is below the factor's is below the factor, and
        # only at or above it have the exact numbers to tell.
        if ratio < self._nearest or amount * self._over <= self._times * total:
            return ratio, None
        return max(ratio, self.threshold), self._evidence(transaction.amount, Fraction(total, count), count)

    def _evidence(self, amount: int, mean: Fraction, count: int) -> Evidence:
        threshold = amount_text(round(mean * self._factor))
        return Evidence(amount_text(round(mean)), count, round(float(amount / mean), 4), threshold)
