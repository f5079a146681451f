"""One user of a detector: pays, and tells which payments were flagged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.money import parse_amount
from schemas.transaction import Transaction
from stream_app.scoring import Detector
from stream_app.window import Window

START = datetime(2026, 1, 1, tzinfo=UTC)


def payment(
    amount: str, currency: str = "USD", status: str = "paid", at: datetime = START, user: str = ""
) -> Transaction:
    """A transaction of this amount."""
    return Transaction("", user, parse_amount(amount), currency, at, status, None)


class Cardholder:
    """A user who pays twice a day, scored as the worker does: a window and a state for each currency."""

    def __init__(self, detector: Detector[Any]) -> None:
        self.detector, self.now = detector, START
        self.states: dict[str, Any] = {}
        self._windows: dict[str, Window] = {}

    def pay(
        self, amount: str, currency: str = "USD", status: str = "paid", at: datetime | None = None
    ) -> msgspec.Struct | None:
        """The evidence where this payment is flagged."""
        if at is None:
            at = self.now = self.now + timedelta(hours=12)
        transaction, form = payment(amount, currency, status, at), self.detector.STATE
        window = self._windows.setdefault(currency, Window())
        state = self.states.get(currency, form and form.fresh)
        _, evidence = self.detector.score_one(window, state, transaction)
        if form:
            self.states[currency] = self.detector.learn_one(
                window, state, transaction, flagged=evidence is not None
            )
        window.push(transaction.amount, bytes(20), 20)
        return evidence

    def flags(self, amounts: list[str], currency: str = "USD", status: str = "paid") -> list[bool]:
        """Whether each of these payments is flagged."""
        return [self.pay(amount, currency, status) is not None for amount in amounts]
