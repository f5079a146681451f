"""What must come of transactions: the rule in a plain loop over each user's amounts."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from tests.support.traffic import Sent

SIZE, MINIMUM, FACTOR, RECENT = 20, 10, 5, 20

Key = tuple[str, str, str]
"""Id, date and user."""


@dataclass(slots=True)
class Expected:
    """All that must come of the transactions."""

    scored: list[tuple[Sent, int, bool]] = field(default_factory=list)
    """Every verdict: on what, which revision (0: the first content), and whether it is a flag."""
    rows: dict[Key, tuple[Sent, int, bool]] = field(default_factory=dict)
    by_currency: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    """Each user's last amounts, oldest first, by currency; that used last is at the end."""

    @property
    def flagged(self) -> set[str]:
        """The ids that were flagged."""
        return {sent.id for sent, _, is_flag in self.scored if is_flag}

    @property
    def stored(self) -> set[str]:
        """The ids that have rows."""
        return {sent.id for sent, _, _ in self.rows.values()}

    @property
    def windows(self) -> dict[str, list[int]]:
        """Each user's last amounts in the currency used last, oldest first."""
        return {user: [*windows.values()][-1] for user, windows in self.by_currency.items()}


def replay(transactions: Iterable[Sent]) -> Expected:
    """Score the transactions one by one, by means of exact fractions and whole-window sums."""
    expected, recent = Expected(), defaultdict[str, dict[str, tuple[Sent, int, bool]]](dict)
    for sent in transactions:
        known = recent[sent.user_id]
        if sent.id in known:
            former, revision, is_flag = known[sent.id]
            if former == sent:
                continue
            verdict = (sent, max(revision, 1) + 1, is_flag)
            expected.rows.pop((former.id, former.txn_date, former.user_id), None)
            expected.rows[sent.id, sent.txn_date, sent.user_id] = verdict
        else:
            windows = expected.by_currency[sent.user_id]
            window = windows[sent.currency] = windows.pop(sent.currency, [])
            verdict = (sent, 0, _is_flag(window, sent.hundredths))
            expected.rows.setdefault((sent.id, sent.txn_date, sent.user_id), verdict)
            window.append(sent.hundredths)
            del window[:-SIZE]
        known[sent.id] = verdict
        for old in list(known)[:-RECENT]:
            del known[old]
        expected.scored.append(verdict)
    return expected


def _is_flag(window: list[int], amount: int) -> bool:
    return len(window) >= MINIMUM and 0 < FACTOR * Fraction(sum(window), len(window)) < amount
