"""A decision's record, and what cannot be one."""

from datetime import UTC, datetime

import msgspec
import pytest

from infra.decisions.history import DecisionError, Proposal
from schemas.decision import FORMAT, MOST_BYTES, RULES, Decision, UnreadableDecisionError

DECISION = Decision(
    7, RULES, {"detector": "odds", "odds": {"day": 0.1}}, "ann", "", datetime(2026, 4, 1, tzinfo=UTC)
)


def test_a_decision_comes_back_as_it_was_written() -> None:
    assert Decision.decode(DECISION.encode()) == DECISION


def test_one_of_a_later_program_says_to_update() -> None:
    later = msgspec.structs.replace(DECISION, format=FORMAT + 1)

    with pytest.raises(UnreadableDecisionError, match=f"of format {FORMAT + 1}.*update it"):
        Decision.decode(later.encode())


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[1]", b'{"format": 1}', b"\xff"])
def test_something_else_is_no_decision(value: bytes | None) -> None:
    with pytest.raises(UnreadableDecisionError, match="it is no decision"):
        Decision.decode(value)


@pytest.mark.parametrize(
    ("proposal", "said"),
    [
        (Proposal(RULES, {}, "a" * 201, ""), "who: at most 200 characters"),
        (Proposal(RULES, {}, "ann", "\0"), "why: at most 2,000 characters, none of them NUL"),
        (Proposal(RULES, {"a": "x" * MOST_BYTES}, "ann", ""), "it is larger than"),
        (Proposal(RULES, {"a": "x\0"}, "ann", ""), "a NUL, which Postgres does not keep"),
    ],
)
def test_what_cannot_be_kept_or_sent_is_refused(proposal: Proposal, said: str) -> None:
    with pytest.raises(DecisionError, match=said):
        proposal.check()
