"""Which column of a file is which field of a transaction."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

# The field's own name comes first: of several columns that fit, the one that is named earliest is taken.
# Names that often hold something else are not here: `state` (of a country), `value` (any), `uuid` (a user's).
# Nor are those of whole card numbers (`card_number`, `pan`), which nobody should store without a decision.
_SYNONYMS: dict[str, list[str]] = json.loads(Path(__file__).with_name("columns.json").read_text())
FIELDS: Final = tuple(_SYNONYMS)
_SHOWN = 300


class Columns:
    """Finds a transaction's fields among the names of columns.

    Case and punctuation do not matter: `Transaction ID`, `transaction_id` and `transactionId` are the same.

    >>> columns = Columns({"txn_date": "Booked"})
    >>> columns.pick(("TransactionID", "Customer ID", "amt", "Booked", "date", "label"))
    {'id': 'TransactionID', 'user_id': 'Customer ID', 'amount': 'amt', 'txn_date': 'Booked'}
    """

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        """Prefer the columns chosen by the user (named exactly, or "" for none) to all others."""
        self._chosen = dict(chosen or {})
        # The lines of a file nearly always have the same names in the same order.
        self.pick = lru_cache(maxsize=256)(self._pick)

    def absent(self, names: Iterable[str]) -> list[str]:
        """The columns that the user chose but that are not there."""
        return sorted(set(self._chosen.values()) - {"", *names})

    def _pick(self, names: tuple[str, ...]) -> dict[str, str]:
        """Map each field that has a column to the column's name."""
        plain = {_plain(name): name for name in reversed(names)}
        found = {field: self._name(field, names, plain) for field in FIELDS}
        return {field: name for field, name in found.items() if name is not None}

    def _name(self, field: str, names: tuple[str, ...], plain: Mapping[str, str]) -> str | None:
        if field in self._chosen or field in names:
            own = self._chosen.get(field, field)
            return own if own in names else None
        fitting = (plain[key] for synonym in _SYNONYMS[field] if (key := _plain(synonym)) in plain)
        return next((name for name in fitting if name not in self._chosen.values()), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def described(picked: Mapping[str, str], names: Iterable[str]) -> str:
    """What becomes what and what is left out, in a line; empty where all names are the fields' own."""
    taken = [f"{field} from {column}" for field, column in picked.items() if column != field]
    left_out = [name for name in names if name not in picked.values()]
    parts = [("columns: ", taken), ("left out: ", left_out)]
    return printable("; ".join(what + ", ".join(found) for what, found in parts if found))


def printable(text: str) -> str:
    """The beginning of a text of a file, without what would change the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:_SHOWN])
