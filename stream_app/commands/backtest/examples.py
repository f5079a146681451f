"""Transactions to look at: the few of each kind with the highest scores."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from schemas.money import amount_text
from schemas.transaction import Transaction
from stream_app.commands.backtest.rows import Label

MOST = 10


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A transaction, what is known of it, and why it was flagged."""

    id: str
    user_id: str
    txn_date: str
    amount: str
    currency: str
    score: float
    fraud: Label = None
    sentence: str = ""
    scenario: str = ""


@dataclass(slots=True)
class Highest:
    """Keeps the examples of the highest scores; of equal ones the first."""

    most: int = MOST
    _kept: list[tuple[float, int, Example]] = field(default_factory=list)
    _number: int = 0

    def add(self, score: float, example: Callable[[], Example]) -> None:
        """Take one, which is made only if it is kept."""
        self._number -= 1
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, (score, self._number, example()))
        elif score > self._kept[0][0]:
            heapq.heapreplace(self._kept, (score, self._number, example()))

    def __iter__(self) -> Iterator[Example]:
        """From the highest score on."""
        return (example for _, _, example in sorted(self._kept, reverse=True, key=lambda one: one[:2]))


def example_of(
    transaction: Transaction, score: float, *, fraud: Label, sentence: str, scenario: str
) -> Example:
    """A transaction as an example."""
    date = transaction.txn_date.isoformat().replace("+00:00", "Z")
    facts = (date, amount_text(transaction.amount), transaction.currency)
    return Example(transaction.id, transaction.user_id, *facts, score, fraud, sentence, scenario)
