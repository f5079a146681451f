"""A set of features, and their state for a user in a currency: pure, no I/O, no clock."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zlib import crc32

from schemas.rules.features import DAY, Feature
from schemas.transaction import Transaction
from stream_app.scoring.features.layout import parts_of, tiers_of
from stream_app.scoring.features.packing import pack, unpack
from stream_app.scoring.features.past import Past, Value

State = bytes
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)


class Features:
    """What rules ask of a user's past, each number with what is kept for it and no more.

    >>> features = Features([Feature("count", 3600), Feature("sum", 86400)])
    >>> payment = Transaction("", "", 1250, "EUR", datetime(2024, 1, 1, tzinfo=UTC), "paid", None)
    >>> state = features.learn(features.fresh, payment)
    >>> features.read(state, payment)
    [1, 1250]
    """

    version: Final = 1
    """Counts up when the bytes or their meaning change; they say of themselves which features they are of."""
    fresh: Final = b""
    """The state of a user who is new to the currency."""

    def __init__(self, needed: Sequence[Feature]) -> None:
        self.needed = needed
        self._parts, self._tiers = parts_of(needed), tiers_of(needed)
        self._fields = sorted({one.field for one in needed if one.field})

    def read(self, state: State, transaction: Transaction) -> Sequence[Value]:
        """The features in the order of `needed`, by what was before the transaction; money in hundredths."""
        past, at, hashes = self._past(state), _seconds(transaction.txn_date), self._hashes(transaction)
        return [past.read(feature, at, hashes) for feature in self.needed]

    def learn(self, state: State, transaction: Transaction) -> State:
        """The state with the transaction."""
        past, hashes = self._past(state), self._hashes(transaction)
        past.add(_seconds(transaction.txn_date), transaction.amount, hashes, self._tiers)
        return pack(past, self._parts)

    def encode(self, state: State) -> bytes:
        """The state's bytes."""
        return state

    def decode(self, data: bytes) -> State:
        """The state that bytes stand for, also those of another set: it has what both sets need.

        Raises:
            ValueError: They are no state of features.
        """
        if data:
            unpack(data)
        return data

    def _past(self, state: State) -> Past:
        """What the state has of what is needed."""
        had = unpack(state) if state else Past()
        past = Past(had.newest)
        past.tiers = {tier.number: had.tiers.get(tier.number, {}) for tier in self._tiers}
        past.values = {part: had.values.get(part, []) for part in self._parts if part.field}
        past.trim(self._tiers)
        return past

    def _hashes(self, transaction: Transaction) -> dict[str, int | None]:
        """A number for the value of each field; None where there is none."""
        values = [(field, getattr(transaction, field)) for field in self._fields]
        return {field: None if value is None else crc32(value.encode()) for field, value in values}


def _seconds(date: datetime) -> int:
    """Whole seconds since the start of year 1."""
    since = date - _EPOCH
    return since.days * DAY + since.seconds
