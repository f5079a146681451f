"""What must come of transactions: the rule in a plain loop over each user's amounts."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from tests.support.traffic import Sent

SIZE, MINIMUM, FACTOR = 20, 10, 5


@dataclass(slots=True)
class Expected:
    """Ids of all transactions and of the flagged ones, and each user's last amounts, oldest first."""

    stored: set[str] = field(default_factory=set)
    flagged: set[str] = field(default_factory=set)
    windows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def replay(transactions: Iterable[Sent]) -> Expected:
    """Score the transactions one by one, by means of exact fractions and whole-window sums."""
    expected = Expected()
    for transaction in transactions:
        window = expected.windows[transaction.user_id]
        amount = transaction.hundredths
        if len(window) >= MINIMUM and 0 < FACTOR * Fraction(sum(window), len(window)) < amount:
            expected.flagged.add(transaction.id)
        expected.stored.add(transaction.id)
        window.append(amount)
        del window[:-SIZE]
    return expected
