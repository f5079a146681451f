"""Which column of a file is which field of a transaction."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

FIELDS = ("id", "user_id", "amount", "currency", "txn_date", "status", "meta_data")
REQUIRED = FIELDS[:-1]

# The field's own name comes first: of several columns that fit, the earliest name here is taken.
_SYNONYMS = {
    "id": ("id", "transaction_id", "txn_id", "tx_id", "trans_id", "trans_num", "payment_id", "uuid"),
    "user_id": ("user_id", "customer_id", "client_id", "account_id", "cardholder_id", "user", "customer"),
    "amount": ("amount", "transaction_amount", "txn_amount", "tx_amount", "amt", "value"),
    "currency": ("currency", "currency_code", "transaction_currency", "ccy"),
    "txn_date": (
        *("txn_date", "transaction_date", "transaction_time", "tx_datetime", "txn_time", "trans_date"),
        *("timestamp", "datetime", "date_time", "event_time", "occurred_at", "created_at", "date", "time"),
    ),
    "status": ("status", "transaction_status", "txn_status", "state"),
    "meta_data": ("meta_data", "metadata", "meta"),
}


class Columns:
    """Finds a transaction's fields among the names of columns.

    Case and punctuation do not matter: `Transaction ID`, `transaction_id` and `transactionId` are the same.

    >>> columns = Columns({"txn_date": "Booked"})
    >>> columns.pick(("TransactionID", "Customer ID", "amt", "Booked", "date", "label"))
    {'id': 'TransactionID', 'user_id': 'Customer ID', 'amount': 'amt', 'txn_date': 'Booked'}
    """

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        """Take the columns chosen by the user, which have to be named exactly, before all others."""
        self._chosen = dict(chosen or {})
        # The lines of a file have nearly always the same names in the same order.
        self.pick = lru_cache(maxsize=256)(self._pick)

    def absent(self, names: Iterable[str]) -> list[str]:
        """The columns that the user chose but that are not there."""
        return sorted(set(self._chosen.values()) - set(names))

    def _pick(self, names: tuple[str, ...]) -> dict[str, str]:
        """The name of each field's column, for those fields that have one."""
        plain = {_plain(name): name for name in reversed(names)}
        found = {field: self._name(field, names, plain) for field in FIELDS}
        return {field: name for field, name in found.items() if name is not None}

    def _name(self, field: str, names: tuple[str, ...], plain: Mapping[str, str]) -> str | None:
        if field in self._chosen:
            return self._chosen[field] if self._chosen[field] in names else None
        if field in names:
            return field
        fitting = (plain[key] for synonym in _SYNONYMS[field] if (key := _plain(synonym)) in plain)
        return next((name for name in fitting if name not in self._chosen.values()), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
