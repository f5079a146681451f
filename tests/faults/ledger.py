"""What the fault runs came to: a JSON line a run, and the table made of them.

`python -m tests.faults.ledger FILE docs/guarantees.md` puts the table between the page's two marks.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from tests.faults.oracle import Findings

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one fault; `recovery` has the seconds from each injection to the next committed batch."""

    fault: str
    seed: int
    injected: int
    in_flight: int
    messages: int
    lost: int
    doubled: int
    wrong: int
    recovery: list[float] = field(default_factory=list)


class Ledger:
    """Appends runs to a file, or keeps them to itself when there is none."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self._path = path
        self.seed = seed

    def settle(
        self,
        fault: str,
        findings: Findings,
        *,
        injected: int,
        in_flight: int,
        messages: int,
        recovery: Sequence[float] = (),
    ) -> None:
        """Note a run, then fail unless nothing was lost, doubled or wrong."""
        counts = (len(findings.lost), len(findings.doubled), len(findings.wrong))
        run = Run(fault, self.seed, injected, in_flight, messages, *counts, [round(r, 2) for r in recovery])
        if self._path is not None:
            with self._path.open("ab") as ledger:
                ledger.write(msgspec.json.encode(asdict(run)) + b"\n")
        assert findings.nothing, f"--faults-seed {self.seed}: {findings}"


def table(runs: Iterable[Run]) -> str:
    """A Markdown table with a row a fault, by name."""
    by_fault: dict[str, list[Run]] = {}
    for run in runs:
        by_fault.setdefault(run.fault, []).append(run)
    return "\n".join([*_head(), *(_line(fault, found) for fault, found in sorted(by_fault.items()))])


def _head() -> Iterator[str]:
    yield "| fault | injected | in flight | messages | lost | doubled | wrong | recovery: median, longest |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"


def _line(fault: str, runs: Sequence[Run]) -> str:
    names = ("injected", "in_flight", "messages", "lost", "doubled", "wrong")
    sums = [f"{sum(getattr(run, name) for run in runs):,}" for name in names]
    seconds = sorted(second for run in runs for second in run.recovery)
    times = f"{seconds[len(seconds) // 2]:.1f} s, {seconds[-1]:.1f} s" if seconds else "-"
    return f"| {' | '.join([fault, *sums, times])} |"


def main(ledger: Path, page: Path) -> None:
    """Put the table of the ledger's runs into the page."""
    runs = [msgspec.json.decode(line, type=Run) for line in ledger.read_bytes().splitlines()]
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(runs)}\n{END}{after}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
