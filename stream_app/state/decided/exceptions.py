"""What is kept beside a rule set: suppressions, and the rules of it that are off since they raised."""

from collections.abc import Sequence

import msgspec

from schemas.decision import Decision
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import RuleSpec
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


def note_rule_off(decision: Decision, notes: Notes, kept: Kept) -> None:
    """Have a rule be off, where its rule set still holds.

    Raises:
        msgspec.ValidationError: It is no such decision.
    """
    off = msgspec.convert(decision.body, RuleOff)
    note = notes[OFF_KEY] if OFF_KEY in notes else kept(OFF_KEY)
    rest = [one for one in rules_off_in(note) if one.rule != off.rule]
    notes[OFF_KEY] = msgspec.json.encode([*rest, off])


def rules_off_in(note: bytes | None) -> list[RuleOff]:
    """What is kept under OFF_KEY: also of rule sets that were decided before."""
    return msgspec.json.decode(note or b"[]", type=list[RuleOff])


def running(rules: Sequence[RuleSpec], note: bytes | None, rule_set: int) -> list[RuleSpec]:
    """The rules of a decision's rule set, with those off that raised."""
    off = {one.rule for one in rules_off_in(note) if one.rule_set == rule_set}
    return [msgspec.structs.replace(rule, mode="off") if rule.name in off else rule for rule in rules]


def suppressions_in(note: bytes | None) -> Suppressions | None:
    """What is kept under SUPPRESSIONS_KEY; None where nothing is suppressed."""
    return Suppressions(some) if (some := _suppressions(note)) else None


def _suppressions(note: bytes | None) -> list[Suppression]:
    return msgspec.json.decode(note or b"[]", type=list[Suppression])
