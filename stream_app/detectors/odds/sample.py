"""What of a history is kept for fitting: a bounded number of rows, of whole users."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from zlib import crc32

from schemas.transaction import Transaction

UNKNOWN: Final = -1
"""A label that nobody has given."""

_HASHES = 1 << 32
_MOST_AMOUNT = 1 << 63


class Row(NamedTuple):
    """A transaction of the sample; `key` stands for its user and currency."""

    key: int
    amount: int
    hour: int
    label: int
    merchant: int
    """32 bits that stand for the merchant; 0: none."""


class Sample:
    """The rows of users whose hash is below a limit, halved whenever there are more than `most` rows.

    A user is in it with all rows or none, so that what a filter knows of the user is what it would have
    known.
    """

    def __init__(self, most: int) -> None:
        self.currencies: list[str] = []  # by key
        self._most, self._below = most, _HASHES
        self._hashes: list[int] = []
        self._keys: dict[tuple[str, str], int] = {}
        self._columns: tuple[array[int], ...] = (array("I"), array("Q"), array("I"), array("b"), array("I"))

    def add(self, transaction: Transaction, hour: int, label: int) -> None:
        """Take a row in, or leave it out with all others of its user."""
        user, currency = transaction.user_id, transaction.currency.upper()
        number = crc32(user.encode())
        if number >= self._below:
            return
        key = self._keys.get((user, currency))
        if key is None:
            key = self._keys[user, currency] = len(self._keys)
            self.currencies.append(currency)
            self._hashes.append(number)
        merchant = crc32(transaction.merchant_id.encode()) if transaction.merchant_id else 0
        row = Row(key, min(transaction.amount, _MOST_AMOUNT), hour, label, merchant)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        if len(self._columns[0]) > self._most:
            self._halve()

    def rows(self, most: int) -> Iterator[Row]:
        """The rows in their order, of fewer users where there are more than `most`."""
        below, hashes = self._below_for(most), self._hashes
        return (Row(*one) for one in zip(*self._columns, strict=True) if hashes[one[0]] < below)

    def count(self, most: int) -> int:
        """How many those are."""
        below, hashes = self._below_for(most), self._hashes
        return sum(hashes[key] < below for key in self._columns[0])

    def _below_for(self, most: int) -> int:
        below, count = self._below, len(self._columns[0])
        while count > most:
            below, count = below // 2, count // 2
        return below

    def _halve(self) -> None:
        self._below //= 2
        kept = [number < self._below for number in self._hashes]
        renamed = _renamed(kept)
        chosen = [at for at, key in enumerate(self._columns[0]) if kept[key]]
        keys, *others = self._columns
        renumbered = array("I", [renamed[keys[at]] for at in chosen])
        self._columns = (renumbered, *(array(one.typecode, [one[at] for at in chosen]) for one in others))
        self._keys = {name: renamed[key] for name, key in self._keys.items() if kept[key]}
        self._hashes = [number for number in self._hashes if number < self._below]
        self.currencies = [one for one, stays in zip(self.currencies, kept, strict=True) if stays]


def _renamed(kept: Sequence[bool]) -> list[int]:
    """The new number of each key: how many before it are kept."""
    names, count = [], 0
    for stays in kept:
        names.append(count)
        count += stays
    return names
