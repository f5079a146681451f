"""The job that every Python peer does for each transaction."""

from collections.abc import Sequence
from typing import Any

SIZE = 20
MINIMUM = 10
FACTOR = 5


def hundredths(amount: str) -> int:
    """An amount of two decimals as an integer.

    >>> hundredths("12.30")
    1230
    """
    return int(amount.replace(".", ""))


def stands_out(window: Sequence[int], amount: int) -> bool:
    """Whether the amount is above five times the mean of a window of at least ten."""
    return len(window) >= MINIMUM and amount * len(window) > FACTOR * sum(window)


def joined(window: Sequence[int], amount: int) -> list[int]:
    """The window after the amount, oldest first."""
    return [*window[-(SIZE - 1) :], amount]


def scored(transaction: dict[str, Any], window: Sequence[int], *, flagged: bool) -> dict[str, Any]:
    """The transaction with the verdict in its `meta_data`."""
    meta: dict[str, Any] = {"is_anomaly": flagged}
    if flagged:
        meta |= {"window": len(window), "mean": f"{sum(window) / len(window) / 100:.2f}"}
    return {**transaction, "meta_data": meta}
