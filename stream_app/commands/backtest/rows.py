"""A piece of history: transactions in their order, what is known of them, and the rows that are none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from typing import NamedTuple

from schemas.transaction import Transaction

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
Label = bool | None
"""True: a fraud. None: it is not known whether it was one."""


class RefusedRow(NamedTuple):
    """A row that the worker would refuse, or that is none: its line in the file, and why."""

    line: int
    id: str
    """As the row has it."""
    reason: str
    detail: str


@dataclass(slots=True)
class Piece:
    """Transactions one after the other; `labels` and `scenarios` have one for each, or are empty."""

    transactions: list[Transaction] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)
    refused: list[tuple[int, RefusedRow]] = field(default_factory=list)
    """Each with how many of the transactions come before it."""
    first: datetime = LATEST
    """The earliest date, which is looked for once all is in its order, like the `last`."""
    last: datetime = EARLIEST

    def add(self, more: "Piece") -> None:
        """Let these follow."""
        before = len(self.transactions)
        self.transactions += more.transactions
        self.labels += more.labels
        self.scenarios += more.scenarios
        self.refused += [(before + at, row) for at, row in more.refused]

    def only(self, wanted: Sequence[bool]) -> "Piece":
        """Those transactions that are wanted, and what is refused."""
        return Piece(
            [*compress(self.transactions, wanted)],
            [*compress(self.labels, wanted)],
            [*compress(self.scenarios, wanted)],
            [(sum(wanted[:at]), row) for at, row in self.refused],
        )
