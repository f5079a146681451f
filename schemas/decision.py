"""A decision: what may change a verdict later, numbered, and as it stands in the control log.

Its record has the number as key and JSON as value. What a decision of a kind says is in `body`, whose shape
is that kind's affair: who applies it checks it again.
"""

from datetime import datetime
from typing import Any, Final, Self

import msgspec

FORMAT: Final = 1
"""Of the record; counts up when an earlier program would read it wrongly."""
RULES: Final = "rules"
"""The kind of a rule set: a decisions file as JSON, which takes the place of the one before."""
LABEL: Final = "label"
"""The kind of a label that a transaction is given, as `schemas.labels` has it."""
LIST: Final = "list"
"""The kind of a part of a change to a list, as `schemas.lists` has it."""
RULE_OFF: Final = "rule_off"
"""The kind of a rule that is off since it raised, as `schemas.rules.rule_off` has it."""
SUPPRESSION: Final = "suppression"
"""The kind of what flags are watched instead, until when, as `schemas.suppressions` has it."""
WARM: Final = "warm"
"""The kind of features that are filled from rows, as `schemas.rules.warming` has it."""
MOST_BYTES: Final = 900_000
"""Of a record's value: brokers take a batch of 1,048,588 by default."""
LONGEST_WHO: Final = 200
LONGEST_WHY: Final = 2_000


class UnreadableDecisionError(ValueError):
    """A record of the control log that this program cannot read; the message says what to do."""


class Decision(msgspec.Struct, frozen=True):
    """One decision. Numbers begin at 1 and have no gap."""

    seq: int
    kind: str
    body: dict[str, Any]
    who: str
    why: str
    at: datetime
    format: int = FORMAT

    @classmethod
    def decode(cls, value: bytes | None) -> Self:
        """What `encode` made.

        Raises:
            UnreadableDecisionError: A later program has made it, or it is something else.
        """
        try:
            version = msgspec.json.decode(value or b"null", type=_Formatted).format
            if version <= FORMAT:
                return msgspec.json.decode(value or b"null", type=cls)
        except msgspec.DecodeError as error:
            raise UnreadableDecisionError(f"it is no decision: {error}") from None
        raise UnreadableDecisionError(
            f"it is of format {version}, and this txnwatch reads up to {FORMAT}: update it"
        )

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class _Formatted(msgspec.Struct):
    format: int


def key_of(seq: int) -> bytes:
    """The record's key."""
    return str(seq).encode()
