"""The scoring core: pure, no I/O, no clock. Same transactions in the same order, same verdicts.

A detector has two verbs, kept apart so that a transaction never counts towards its own verdict:
`score_one(window, amount)` says whether an amount stands out against the window before it, and
`learn_one(window, amount, transaction_id)` lets the amount join.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction
from stream_app.window import ID_BYTES, Window


class Detector(Protocol):
    """Says which amounts stand out; see `stream_app.detectors`."""

    def score_one(self, window: Window, amount: int) -> Flag | None:
        """The flag of an amount (hundredths) that stands out against the window, else None."""

    def learn_one(self, window: Window, amount: int, transaction_id: bytes) -> None:
        """Let the amount join the window, with the transaction's id in 16 bytes."""


class Arrival(msgspec.Struct, gc=False):
    """A valid transaction and where it stands in the source partition (`timestamp` in milliseconds)."""

    offset: int
    timestamp: int
    transaction: Transaction


class Verdict(msgspec.Struct, gc=False):
    """A scored transaction: a flag, or None when it does not stand out. `identity` is its id in 16 bytes."""

    offset: int
    identity: bytes
    transaction: Transaction
    flag: Flag | None
    _encoded: tuple[bytes, bytes] | None = None

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


def identities_of(uuids: Sequence[str]) -> list[bytes]:
    """Many of them, at a third of the cost."""
    joined = identity_of("".join(uuids))
    return [joined[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES)]


def score(arrivals: Iterable[Arrival], windows: Mapping[str, Window], detector: Detector) -> Scores:
    """Score arrivals in their order against their users' windows, which learn from each.

    An arrival at or below its window's `last_offset` was finished before a crash and gets no second
    verdict; neither does one whose id is still in the window.
    """
    scores, arrivals = Scores(), [*arrivals]
    identities = identities_of([arrival.transaction.id for arrival in arrivals])
    for arrival, identity in zip(arrivals, identities, strict=True):
        transaction = arrival.transaction
        window = windows[transaction.user_id]
        if arrival.offset <= window.last_offset:
            scores.replayed += 1
        elif window.holds(identity):
            scores.duplicates += 1
        else:
            flag = detector.score_one(window, transaction.amount)
            scores.verdicts.append(Verdict(arrival.offset, identity, transaction, flag))
            detector.learn_one(window, transaction.amount, identity)
            window.last_offset = arrival.offset
            window.updated_at = arrival.timestamp
    return scores
