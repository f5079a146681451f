"""What labels say of a merchant, as detectors that ask for it are told."""

from collections.abc import Callable
from datetime import datetime

import msgspec


class MerchantRun(msgspec.Struct, frozen=True, gc=False):
    """The frauds in a row at a merchant that no amount explains, never changed in place.

    Days are those of transactions in UTC, counted from year 1. Without frauds, `first` is the day of the
    merchant's latest legitimate label.
    """

    frauds: int = 0
    first: int = 0
    last: int = 0


MerchantRuns = Callable[[str, datetime], MerchantRun | None]
"""The run of a merchant as it is known when a transaction of this date is scored; None: nothing is known."""


def no_runs(_merchant: str, _date: datetime) -> None:
    """Know nothing of any merchant."""
