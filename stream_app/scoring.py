"""The scoring core: pure, no I/O, no clock. Same transactions in the same order, same verdicts.

A detector has two verbs, kept apart so that a transaction never counts towards its own verdict:
`score_one(window, amount)` says whether an amount stands out against the window before it, and
`learn_one(window, amount)` lets the amount join.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction

ID_BYTES = 16


@dataclass(slots=True)
class Window:
    """One user's recent past: what the verdict on the next transaction depends on.

    `amounts` (hundredths) and `ids` (16 bytes each, concatenated) are of the same transactions,
    oldest first; `total` is the amounts' sum. `last_offset` is the source offset of the last
    transaction that joined (-1: none yet) and `updated_at` its record's timestamp in milliseconds.
    """

    amounts: list[int] = field(default_factory=list)
    ids: bytes = b""
    total: int = 0
    last_offset: int = -1
    updated_at: int = 0

    @property
    def mean(self) -> int:
        """The amounts' mean in whole hundredths, half to even; 0 for none.

        >>> Window([100, 103], total=203).mean, Window([1, 2], total=3).mean, Window().mean
        (102, 2, 0)
        """
        count = len(self.amounts)
        whole, rest = divmod(self.total, count or 1)
        return whole + (2 * rest > count or (2 * rest == count and whole % 2))

    def push(self, amount: int, size: int) -> None:
        """Let an amount join and the oldest beyond `size` leave.

        >>> window = Window([1, 2], total=3)
        >>> window.push(5, size=2)
        >>> window.amounts, window.total
        ([2, 5], 7)
        """
        self.amounts.append(amount)
        self.total += amount
        while len(self.amounts) > size:
            self.total -= self.amounts.pop(0)

    def remember(self, transaction_id: bytes) -> None:
        """Keep an id beside its amount; as many are kept as there are amounts."""
        self.ids = (self.ids + transaction_id)[-ID_BYTES * len(self.amounts) :]

    def holds(self, transaction_id: bytes) -> bool:
        """Whether a transaction of this id is among those in the window."""
        at = self.ids.find(transaction_id)
        while at % ID_BYTES and at > 0:  # a match across two ids is none
            at = self.ids.find(transaction_id, at + 1)
        return at >= 0


class Detector(Protocol):
    """Says which amounts stand out; see `stream_app.detectors`."""

    def score_one(self, window: Window, amount: int) -> Flag | None:
        """The flag of an amount (hundredths) that stands out against the window, else None."""

    def learn_one(self, window: Window, amount: int) -> None:
        """Let the amount join the window."""


class Arrival(NamedTuple):
    """A valid transaction and where it stands in the source partition (`timestamp` in milliseconds)."""

    offset: int
    timestamp: int
    transaction: Transaction


@dataclass(slots=True)
class Verdict:
    """A scored transaction: a flag, or None when it does not stand out. `identity` is its id in 16 bytes."""

    offset: int
    identity: bytes
    transaction: Transaction
    flag: Flag | None
    _encoded: tuple[bytes, bytes] | None = field(default=None, repr=False, compare=False)

    def encoded(self) -> tuple[bytes, bytes]:
        """The whole row as JSON, and its `meta_data` alone; made once, when first asked for."""
        if self._encoded is None:
            self._encoded = encode_scored(self.transaction, self.flag)
        return self._encoded


@dataclass(slots=True)
class Scores:
    """A batch's verdicts in arrival order, and how many arrivals got none."""

    verdicts: list[Verdict] = field(default_factory=list)
    duplicates: int = 0
    replayed: int = 0


def identity_of(uuid: str) -> bytes:
    """A UUID's text as 16 bytes."""
    return bytes.fromhex(uuid.replace("-", ""))


def score(arrivals: Iterable[Arrival], windows: Mapping[str, Window], detector: Detector) -> Scores:
    """Score arrivals in their order against their users' windows, which learn from each.

    An arrival at or below its window's `last_offset` was finished before a crash and gets no second
    verdict; neither does one whose id is still in the window.
    """
    scores = Scores()
    for arrival in arrivals:
        transaction = arrival.transaction
        window = windows[transaction.user_id]
        identity = identity_of(transaction.id)
        if arrival.offset <= window.last_offset:
            scores.replayed += 1
        elif window.holds(identity):
            scores.duplicates += 1
        else:
            flag = detector.score_one(window, transaction.amount)
            scores.verdicts.append(Verdict(arrival.offset, identity, transaction, flag))
            detector.learn_one(window, transaction.amount)
            window.remember(identity)
            window.last_offset = arrival.offset
            window.updated_at = arrival.timestamp
    return scores
