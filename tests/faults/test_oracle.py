"""The oracle and the ledger themselves: another replay agrees, and nothing amiss is passed over."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from aiokafka import ConsumerRecord

from tests.support import oracle as by_user
from tests.support.faults.bad import good
from tests.support.faults.ledger import TABLES, Ledger, main
from tests.support.faults.oracle import Findings, Record, replay
from tests.support.traffic import Sent, revised, traffic


def log(transactions: Sequence[Sent]) -> list[Record]:
    return [record(offset, *good(sent)) for offset, sent in enumerate(transactions)]


def record(offset: int, key: bytes | None, value: bytes | None, reason: str | None) -> Record:
    headers = [] if reason is None else [("expected", reason.encode())]
    sizes = (len(key or b""), len(value or b""))
    return ConsumerRecord("transactions", 0, offset, 7, 0, key, value, None, *sizes, headers)


def test_it_agrees_with_a_replay_by_user() -> None:
    transactions = revised(traffic(2000, users=20))
    expected, other = replay(log(transactions)), by_user.replay(transactions)

    assert {row["id"] for row in expected.anomalies.values()} == other.flagged
    assert {user: window.amounts for user, window in expected.windows.items()} == other.by_currency
    assert {key: row["status"] for key, row in expected.rows.items()} == {
        key: sent.status for key, (sent, _, _) in other.rows.items()
    }
    revisions = [row["meta_data"].get("revision", 0) for row in expected.scored.values()]
    assert revisions == [revision for _, revision, _ in other.scored]
    assert max(revisions) > 2
    assert expected.next_offsets == {0: len(transactions)}


def test_a_repeated_id_has_no_second_verdict_early_and_no_second_row_late() -> None:
    transactions = traffic(60, users=1)

    early = replay(log([*transactions, transactions[-5]]))
    late = replay(log([*transactions, transactions[0]]))

    assert (len(early.scored), len(early.rows)) == (60, 60)
    assert (len(late.scored), len(late.rows)) == (61, 60)


def test_a_bad_message_is_a_letter_and_a_tombstone_is_nothing() -> None:
    expected = replay([record(0, b"k", b"{", "json"), record(1, b"k", None, "tombstone")])

    assert expected.letters == {(0, 0): ("json", b"k", b"{")}
    assert (expected.scored, expected.next_offsets) == ({}, {0: 2})


def test_what_is_missing_there_twice_unexpected_or_different_is_found() -> None:
    findings = Findings()

    findings.compare("rows", {1: "a", 2: "b", 3: "c"}, [(1, "a"), (1, "a"), (3, "x"), (4, "d")])

    assert findings.lost == ["rows: 2"]
    assert findings.doubled == ["rows: 1", "rows: 4"]
    assert findings.wrong == ["rows: 3: x, not c"]
    assert not findings.nothing


def test_a_run_with_findings_is_noted_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, seed=3)

    ledger.settle("fine", Findings(), injected=2, in_flight=1, messages=1000, recovery=[1.0, 3.0, 2.0])
    with pytest.raises(AssertionError, match="1 lost"):
        ledger.settle("bad", Findings(lost=["rows: 1"]), injected=1, in_flight=1, messages=5)

    assert [msgspec.json.decode(line)["lost"] for line in path.read_bytes().splitlines()] == [0, 1]


def test_the_page_gets_a_row_a_fault_and_one_a_protection_and_keeps_the_rest(tmp_path: Path) -> None:
    path, page = tmp_path / "ledger", tmp_path / "page.md"
    ledger = Ledger(path, seed=3)
    for recovery in ([1.0], [5.0, 3.0]):
        ledger.settle("kill", Findings(), injected=20, in_flight=20, messages=1000, recovery=recovery)
    ledger.settle("gap", Findings(), injected=1, in_flight=1, messages=1000, stops=True)
    found = Findings(lost=["rows: 1", "rows: 2"])
    ledger.settle_without("order", "kill", found, messages=10, where="rows")
    with pytest.raises(AssertionError, match="2 lost"):
        ledger.settle_without("order", "kill", found, messages=10, where="scored")
    marks = [f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n" for name in TABLES]
    page.write_text("before\n" + "between\n".join(marks) + "after\n")

    main(path, page)

    rows = [line for line in page.read_text().splitlines() if line.startswith("|") and "---" not in line]
    assert rows[1:3] == [
        "| gap | 1 | 1 | 1,000 | 0 | 0 | 0 | stops |",
        "| kill | 40 | 40 | 2,000 | 0 | 0 | 0 | 3.0 s, 5.0 s |",
    ]
    assert rows[4:] == ["| order | kill | 20 | 4 | 0 | 0 |"]
    rest = [line for line in page.read_text().splitlines() if not line.startswith(("|", "<!--"))]
    assert rest == ["before", "between", "after"]


def test_a_recovery_that_takes_too_long_fails() -> None:
    with pytest.raises(AssertionError):
        Ledger(None, seed=3).settle("slow", Findings(), injected=1, in_flight=1, messages=1, recovery=[61.0])
