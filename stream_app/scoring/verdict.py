"""What goes into the scorer and what comes out of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from schemas.scored import Beside, Flag, Shadow, encode_scored
from schemas.transaction import Transaction
from stream_app.scoring.detector import DetectorError
from stream_app.window import Window

_ID_BYTES = 16


class Arrival(msgspec.Struct, gc=False):
    """A valid transaction and where it stands in the source partition (`timestamp` in milliseconds)."""

    offset: int
    timestamp: int
    transaction: Transaction


class Verdict(msgspec.Struct, gc=False):
    """A scored transaction: a flag, or None when it does not stand out.

    `identity` is its id in 16 bytes, `entry` what it is known again by (`stream_app.window.recent`).
    """

    offset: int
    identity: bytes
    entry: bytes
    transaction: Transaction
    flag: Flag | None
    revision: int = 0
    """2, 3, … of other content under an id that got its verdict before, which `flag` repeats; else 0."""
    moved_from: datetime | None = None
    """The date of the content before, where a revision has another."""
    shadow: Shadow | None = None
    """What detectors that only watch would have flagged it by."""
    score: float | None = None
    """The detector's, or the largest strength of several; None of a revision, which is not scored."""
    beside: Beside | None = None
    """What rules say beside the flag, or instead of it."""
    decision: int = 0
    """The number of the rule set that decided; 0: of none, or of what a revision does not repeat."""
    _encoded: tuple[bytes, bytes] | None = None

    def encoded(self) -> tuple[bytes, bytes]:
        """The whole row as JSON, and its `meta_data` alone; made once, when first asked for."""
        if self._encoded is None:
            said = self.flag, self.revision, self.shadow, self.beside, self.decision
            self._encoded = encode_scored(self.transaction, *said)
        return self._encoded


@dataclass(slots=True)
class Scores:
    """A batch's verdicts in arrival order, how many arrivals got none, and the windows that have changed."""

    verdicts: list[Verdict] = field(default_factory=list)
    revisions: int = 0
    """How many of the verdicts are of revisions."""
    duplicates: int = 0
    replayed: int = 0
    dropped: int = 0
    """How many windows had to go because their users have too many currencies."""
    states_lost: int = 0
    """How many states of users and currencies could not be read, and are fresh."""
    shadow_flags: Counter[str] = field(default_factory=Counter)
    """How many each detector that only watches would have flagged."""
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each rule `flagged`, `watched`, `allowed`, fired in `shadow`, or `failed`."""
    rule_failures: dict[str, Exception] = field(default_factory=dict)
    """What each rule that raised did raise last."""
    failures: list[DetectorError] = field(default_factory=list)
    """What those have failed at."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each detector took for the last transaction; empty of one alone that keeps no state."""
    changed: dict[str, Window] = field(default_factory=dict)


def identity_of(uuid: str) -> bytes:
    """A UUID's text as 16 bytes."""
    return bytes.fromhex(uuid.replace("-", ""))


def identities_of(uuids: Sequence[str]) -> list[bytes]:
    """Many of them, at a third of the cost."""
    joined = identity_of("".join(uuids))
    return [joined[at : at + _ID_BYTES] for at in range(0, len(joined), _ID_BYTES)]
