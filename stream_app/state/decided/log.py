"""What a partition has applied of the control log, and what some more decisions make of it. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import msgspec

from infra.runtime.cli_errors import StopError
from schemas.decision import (
    LABEL,
    LIST,
    RULE_OFF,
    RULES,
    SUPPRESSION,
    WARM,
    Decision,
    UnreadableDecisionError,
)
from schemas.labels import TransactionLabel
from stream_app.state.decided.exceptions import OFF_KEY, note_rule_off, note_suppression
from stream_app.state.decided.lists import Kept, Notes, note_list
from stream_app.state.decided.warming import note_warming
from stream_app.state.merchants import run_key, with_note_of

PROGRESS_KEY = b"\0decided"
RULES_KEY = b"\0decided-rules"
"""Under it is the decision on the rule set, as it came."""
_FORMAT = 1


class UnappliedError(StopError):
    """A decision that this worker cannot apply: nothing may be scored without it."""


class Logged(Protocol):
    """What is used of a record of the control log."""

    partition: int
    offset: int
    value: bytes | None


class Progress(msgspec.Struct, frozen=True):
    """How far a partition has come in the control log."""

    seq: int = 0
    """The last decision applied."""
    next_offset: int = 0
    """Of its partition of the topic: what comes next."""
    format: int = _FORMAT

    @classmethod
    def decode(cls, note: bytes | None) -> Self:
        """What `encode` made; the beginning, where there is nothing.

        Raises:
            UnappliedError: A later program has made it.
        """
        progress = cls() if note is None else msgspec.json.decode(note, type=cls)
        if progress.format > _FORMAT:
            raise UnappliedError(f"what was decided is kept in format {progress.format}: update txnwatch")
        return progress

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class Step(NamedTuple):
    """Some decisions, and what they leave."""

    decisions: Sequence[Decision]
    progress: Progress
    notes: Notes


def _note_rules(decision: Decision, notes: Notes, kept: Kept) -> None:
    notes[RULES_KEY] = decision.encode()
    if OFF_KEY in notes or kept(OFF_KEY):  # of the rules before
        notes[OFF_KEY] = None


def _note_label(decision: Decision, notes: Notes, kept: Kept) -> None:
    label = msgspec.convert(decision.body, TransactionLabel)
    if label.merchant_id:
        key = run_key(label.merchant_id)
        before = notes[key] if key in notes else kept(key)
        if (after := with_note_of(label, before)) is not None and after != before:
            notes[key] = after


KINDS: Mapping[str, Callable[[Decision, Notes, Kept], None]] = {
    RULES: _note_rules,
    LABEL: _note_label,
    LIST: note_list,
    SUPPRESSION: note_suppression,
    RULE_OFF: note_rule_off,
    WARM: note_warming,
}
"""What a decision of each kind leaves."""


def step(since: Progress, records: Sequence[Logged], kept: Kept = lambda _: None) -> Step:
    """Take the decisions of these records, without those that the partition has.

    Raises:
        UnappliedError: One cannot be read, is of an unknown kind, or one is missing before it.
    """
    decisions: list[Decision] = []
    seq, notes = since.seq, Notes()
    for record in records:
        decision = _decision(record)
        if decision.seq > seq:
            _check_follows(record, decision.seq, seq)
            _apply(record, decision, notes, kept)
            decisions.append(decision)
            seq = decision.seq
    progress = Progress(seq, records[-1].offset + 1) if records else since
    return Step(decisions, progress, notes | {PROGRESS_KEY: progress.encode()})


def _decision(record: Logged) -> Decision:
    try:
        return Decision.decode(record.value)
    except UnreadableDecisionError as error:
        raise _unapplied(record, str(error)) from None


def _apply(record: Logged, decision: Decision, notes: Notes, kept: Kept) -> None:
    if decision.kind not in KINDS:
        unknown = f"decision {decision.seq} is of the kind {decision.kind}, which this txnwatch does not know"
        raise _unapplied(record, f"{unknown}: update it")
    try:
        KINDS[decision.kind](decision, notes, kept)
    except msgspec.ValidationError as error:
        raise _unapplied(record, f"decision {decision.seq} is no {decision.kind}: {error}") from None


def _check_follows(record: Logged, seq: int, former: int) -> None:
    if seq != former + 1:
        raise _unapplied(record, f"decision {seq} comes after {former}: some are missing from the topic")


def _unapplied(record: Logged, what: str) -> UnappliedError:
    return UnappliedError(f"partition {record.partition}, control log at offset {record.offset}: {what}")
