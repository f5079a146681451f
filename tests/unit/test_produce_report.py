"""The progress bar and the summary."""

import io
import re

from rich.console import Console

from infra.produce.report import Outcomes, progress_bar
from infra.produce.rows import RejectedRow
from tests.support.installation import until


def test_without_rejected_rows_it_is_one_line() -> None:
    assert (
        Outcomes(taken=1500).summary(1500, "transactions", 0.5)
        == "1,500 sent to transactions in 0.5 s (3,000/s)"
    )


def test_rejected_rows_are_listed_by_reason_with_their_first_lines() -> None:
    outcomes = Outcomes()
    for line in range(2, 9):
        outcomes.reject(RejectedRow(line, "amount", f"detail {line}"))
    outcomes.reject(RejectedRow(4, "id", "'x' is not a UUID"))
    assert outcomes.summary(0, "t", 0).splitlines() == [
        "0 sent to t in 0.0 s (0/s)",
        "8 rejected and not sent:",
        "  amount             7  lines 2, 3, 4, 5, 6, ...; the first: detail 2",
        "  id                 1  line 4; the first: 'x' is not a UUID",
    ]


async def test_the_bar_goes_on_counting_while_nothing_calls_it() -> None:
    """While standard input paused, the rate was that of before the pause."""
    outcomes, screen = Outcomes(taken=7), io.StringIO()
    with progress_bar(outcomes, lambda: None, Console(file=screen, force_terminal=True, width=100)):
        outcomes.taken = 1_000_000

        async def falls() -> bool:
            rates = [int(rate.replace(",", "")) for rate in re.findall(r"([\d,]+)/s", screen.getvalue())]
            return "1,000,000 sent" in screen.getvalue() and len(rates) > 2 and rates[-1] < max(rates)

        await until(falls, within=20)
