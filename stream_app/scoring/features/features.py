"""A set of features, and their state for a user in a currency: pure, no I/O, no clock."""

import struct
from collections.abc import Sequence
from typing import Final

from schemas.rules.features import Feature
from schemas.transaction import Transaction
from stream_app.scoring.features.filled import filled_past
from stream_app.scoring.features.generated import FAST_FORMS, Generated
from stream_app.scoring.features.layout import in_order, parts_of, tiers_of
from stream_app.scoring.features.packing import newest_in, pack, parts_in, unpack
from stream_app.scoring.features.past import EPOCH, Past, Value, hash_of, seconds_of

State = bytes
_NONE = Transaction("", "", 0, "", EPOCH, "", None)


class Features:
    """What rules ask of a user's past, each number with what is kept for it and no more.

    >>> from datetime import UTC, datetime
    >>> features = Features([Feature("count", 3600), Feature("sum", 86400)])
    >>> payment = Transaction("", "", 1250, "EUR", datetime(2024, 1, 1, tzinfo=UTC), "paid", None)
    >>> state = features.learn(features.fresh, payment)
    >>> features.read(state, payment)
    [1, 1250]
    """

    version: Final = 1
    """Counts up when the bytes or their meaning change; they say of themselves which features they are of."""

    def __init__(self, needed: Sequence[Feature]) -> None:
        self.needed = needed
        self._parts, self._tiers = parts_of(needed), tiers_of(needed)
        self._fields = sorted({part.field for part in self._parts if part.field})
        generated = [Generated(form, needed) for form in FAST_FORMS]
        self._generated = {one.prefix: one for one in generated}
        self._prefix_bytes = len(generated[0].prefix)
        self.fresh: State = pack(self._of_needed(Past()), self._parts)
        """The state of a user who is new to the currency."""
        self._state, self._transaction, self._after = self.fresh, _NONE, self.fresh

    def read(self, state: State, transaction: Transaction) -> Sequence[Value]:
        """The features in the order of `needed`, by what was before the transaction; money in hundredths."""
        generated = self._generated.get(state[: self._prefix_bytes])
        try:
            found = generated.advance(state, transaction) if generated else None
        except struct.error:  # the amount needs a wider form
            found = None
        values, after = found or self._slowly(state, transaction)
        self._state, self._transaction, self._after = state, transaction, after
        return values

    def learn(self, state: State, transaction: Transaction) -> State:
        """The state with the transaction, which is known already where its features were just read."""
        if self._transaction is not transaction or self._state is not state:
            self.read(state, transaction)
        return self._after

    def encode(self, state: State) -> bytes:
        """The state's bytes."""
        return state

    def decode(self, data: bytes) -> State:
        """The state that bytes stand for, also those of another set: it has what both sets need.

        Raises:
            ValueError: They are no state of features.
        """
        generated = self._generated.get(data[: self._prefix_bytes])
        try:
            is_whole = generated.is_whole(data) if generated else bool(unpack(data))
        except (struct.error, IndexError):
            is_whole = False
        if not is_whole:
            raise ValueError("the state of features is cut short or damaged")
        return data

    def with_filled(self, had: State, filled: State) -> State:
        """A state that has what this set needs from another one, and all else as it was.

        Raises:
            ValueError: The first is no state of features.
        """
        parts = in_order([*parts_in(had), *self._parts])
        if parts == self._parts and not newest_in(had):
            return filled  # as for all where nothing is kept: taking both apart takes 100 µs
        return pack(filled_past(unpack(had), unpack(filled), self._parts, self._tiers), parts)

    def _slowly(self, state: State, transaction: Transaction) -> tuple[Sequence[Value], State]:
        """The same from a state that is taken apart: for what is late, large, or of other features."""
        past, at = self._of_needed(unpack(state)), seconds_of(transaction.txn_date)
        hashes = {field: hash_of(getattr(transaction, field)) for field in self._fields}
        values = [past.read(feature, at, hashes) for feature in self.needed]
        past.add(at, transaction.amount, hashes, self._tiers)
        return values, pack(past, self._parts)

    def _of_needed(self, had: Past) -> Past:
        """What there is of what is needed."""
        past = Past(had.newest)
        past.tiers = {tier.number: had.tiers.get(tier.number, {}) for tier in self._tiers}
        past.values = {part: had.values.get(part, []) for part in self._parts if part.field}
        return past
