"""The outcome of producing: counted, shown as a progress bar on the way, summed up at the end."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich import progress
from rich.console import Console
from rich.text import Text

from infra.produce.rows import LEFT_OUT, NO_FAULT, TOTALS, RejectedRow

_SHOWN_LINES = 5
_HARMLESS = {LEFT_OUT: "left out by a condition of the mapping", TOTALS: "left out as totals"}


@dataclass(slots=True)
class Outcomes:
    """How many rows were sent and rejected."""

    taken: int = 0
    """Records given to the sender."""
    before: int = 0
    """Records that were on the topic before."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    first_rows: defaultdict[str, list[RejectedRow]] = field(default_factory=lambda: defaultdict(list))
    """The first few of each reason."""

    @property
    def faults(self) -> int:
        """How many rows something is wrong with."""
        return sum(count for reason, count in self.rejected.items() if reason not in NO_FAULT)

    def reject(self, row: RejectedRow) -> None:
        """Count a row that is not sent."""
        self.rejected[row.reason] += 1
        if self.rejected[row.reason] <= _SHOWN_LINES:
            self.first_rows[row.reason].append(row)

    def summary(self, delivered: int, topic: str, seconds: float) -> str:
        """The lines to show at the end."""
        rate = delivered / seconds if seconds > 0 else 0.0
        sent = f"{delivered:,} sent to {topic} in {seconds:,.1f} s ({rate:,.0f}/s)"
        harmless = [f"{self.rejected[reason]:,} {words}" for reason, words in _HARMLESS.items()]
        left_out = [line for line in harmless if not line.startswith("0 ")]
        faults = sorted(self.rejected.keys() - NO_FAULT)
        head = [f"{self.faults:,} rejected and not sent:"] if faults else []
        before = [f"{self.before:,} were sent before"] if self.before else []
        return "\n".join([sent, *before, *left_out, *head, *map(self._reason, faults)])

    def _reason(self, reason: str) -> str:
        count, rows = self.rejected[reason], self.first_rows[reason]
        lines = ", ".join(str(row.line) for row in rows) + (", ..." if count > len(rows) else "")
        where = f"line{'s' if count > 1 else ''} {lines}"
        return f"  {reason:<10} {count:>9,}  {where}; the first: {rows[0].detail}"


@contextmanager
def progress_bar(
    outcomes: Outcomes, fraction: Callable[[], float | None], console: Console
) -> Iterator[Callable[[], None]]:
    """Show a bar while inside, on a terminal only; yield the function that brings it up to date.

    `fraction` is how much of the work is done, from 0 to 1, or None where that cannot be known.
    """
    started = time.monotonic()
    columns = (
        _Live(lambda: f"{outcomes.taken:,} sent"),
        *(progress.BarColumn(), progress.TaskProgressColumn()),
        _Live(lambda: f"{outcomes.taken / (time.monotonic() - started):,.0f}/s"),
        *(progress.TimeElapsedColumn(), "left", progress.TimeRemainingColumn()),
    )
    shown = console.is_terminal
    with progress.Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None if fraction() is None else 1.0)
        yield lambda: bar.update(task, completed=fraction() or 0.0)


class _Live(progress.ProgressColumn):
    """A text made whenever the bar is drawn, ten times a second, also while no more rows come."""

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._live = text

    def render(self, _task: progress.Task) -> Text:
        """The text as it is now."""
        return Text(self._live())
