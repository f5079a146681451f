"""What is kept beside a rule set: suppressions, and the rules of it that are off since they raised."""

import msgspec

from schemas.decision import Decision
from schemas.suppressions import Suppression
from stream_app.scoring.rules.evaluator import Suppressions
from stream_app.state.decided.lists import Kept, Notes

SUPPRESSIONS_KEY = b"\0decided-suppressions"
OFF_KEY = b"\0decided-rules-off"


def note_suppression(decision: Decision, notes: Notes, kept: Kept) -> None:
    """Add a suppression, or end one.

    Raises:
        msgspec.ValidationError: It is none.
    """
    new = msgspec.convert(decision.body, Suppression)
    note = notes[SUPPRESSIONS_KEY] if SUPPRESSIONS_KEY in notes else kept(SUPPRESSIONS_KEY)
    rest = [one for one in _suppressions(note) if (one.user_id, one.rule) != (new.user_id, new.rule)]
    notes[SUPPRESSIONS_KEY] = msgspec.json.encode([*rest, new] if new.until else rest)


def suppressions_in(note: bytes | None) -> Suppressions | None:
    """What is kept under SUPPRESSIONS_KEY; None where nothing is suppressed."""
    return Suppressions(some) if (some := _suppressions(note)) else None


def _suppressions(note: bytes | None) -> list[Suppression]:
    return msgspec.json.decode(note or b"[]", type=list[Suppression])
