"""Labels that people give to transactions, often weeks later."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

_OF_AMOUNTS: Final = "ratio"
"""What the evidence of a flag by its amount has."""


class TransactionLabel(msgspec.Struct, frozen=True, gc=False):
    """What became known of a transaction, which is known by id, date and user: the body of a decision."""

    id: str
    txn_date: datetime
    """Aware, in UTC."""
    user_id: str
    merchant_id: str
    """Empty where the transaction has none."""
    fraud: bool
    explained: bool
    """Whether the transaction had been flagged by its amount: then it says nothing of its merchant."""


def is_explained(meta_data: Mapping[str, Any]) -> bool:
    """Whether a row's `meta_data` says that a detector flagged the amount, be it one that only watches.

    >>> is_explained({"is_anomaly": True, "detector": "odds", "ratio": 7.9})
    True
    >>> is_explained({"is_anomaly": False, "ratio": 7.9, "shadow": {}})
    False
    >>> is_explained({"is_anomaly": False, "shadow": {"odds": {"score": 1, "ratio": 7.9}}})
    True
    """
    flags = [*meta_data.get("shadow", {}).values(), *([meta_data] if meta_data.get("is_anomaly") else [])]
    return any(_OF_AMOUNTS in flag for flag in flags)
