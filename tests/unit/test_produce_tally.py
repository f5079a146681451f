"""The summary."""

from infra.produce.records import Rejected
from infra.produce.tally import Tally


def test_without_rejected_rows_it_is_one_line() -> None:
    assert (
        Tally(taken=1500).report(1500, "transactions", 0.5) == "1,500 sent to transactions in 0.5 s (3,000/s)"
    )


def test_rejected_rows_are_listed_by_reason_with_their_first_lines() -> None:
    tally = Tally()
    for line in range(2, 9):
        tally.reject(Rejected(line, "amount", f"detail {line}"))
    tally.reject(Rejected(4, "id", "'x' is not a UUID"))
    assert tally.report(0, "t", 0).splitlines() == [
        "0 sent to t in 0.0 s (0/s)",
        "8 rejected and not sent:",
        "  amount             7  lines 2, 3, 4, 5, 6, ...; the first: detail 2",
        "  id                 1  line 4; the first: 'x' is not a UUID",
    ]
