"""What was sent and what was not, and how that reads at the end."""

from collections import Counter
from dataclasses import dataclass, field

from infra.produce.records import Rejected

_SHOWN_LINES = 5


@dataclass(slots=True)
class Tally:
    """Counts, filled while it goes."""

    taken: int = 0
    """Records given to the sender."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    lines: dict[str, list[int]] = field(default_factory=dict)
    """The first few lines of each reason."""
    details: dict[str, str] = field(default_factory=dict)
    """Of the first row of each reason."""

    def reject(self, row: Rejected) -> None:
        """Count a row that is not sent."""
        self.rejected[row.reason] += 1
        self.details.setdefault(row.reason, row.detail)
        lines = self.lines.setdefault(row.reason, [])
        if len(lines) < _SHOWN_LINES:
            lines.append(row.line)

    def report(self, delivered: int, topic: str, seconds: float) -> str:
        """The lines to show at the end."""
        rate = delivered / seconds if seconds > 0 else 0.0
        sent = f"{delivered:,} sent to {topic} in {seconds:,.1f} s ({rate:,.0f}/s)"
        if not self.rejected:
            return sent
        head = f"{self.rejected.total():,} rejected and not sent:"
        return "\n".join([sent, head, *map(self._reason, sorted(self.rejected))])

    def _reason(self, reason: str) -> str:
        count, lines = self.rejected[reason], self.lines[reason]
        shown = ", ".join(map(str, lines)) + (", ..." if count > len(lines) else "")
        where = f"line{'s' if count > 1 else ''} {shown}"
        return f"  {reason:<10} {count:>9,}  {where}; the first: {self.details[reason]}"
