"""What the fault runs came to: a JSON line a run, and the tables made of them.

`python -m tests.support.faults.ledger FILE docs/guarantees.md` puts the tables between the page's marks.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from tests.support.faults.oracle import Findings

RECOVERY_SECONDS = 60
"""No recovery may take longer, whatever the fault."""


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
    stops: bool = False
    """Whether the worker ends itself and says why, in place of going on."""
    without: str = ""
    """The protection that was off: then something has to be lost, doubled or wrong."""


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
        stops: bool = False,
    ) -> None:
        """Note a run, then fail unless nothing was lost, doubled or wrong, and all recovered in time."""
        counts = (len(findings.lost), len(findings.doubled), len(findings.wrong))
        seconds = [round(second, 2) for second in recovery]
        self._note(Run(fault, self.seed, injected, in_flight, messages, *counts, seconds, stops))
        assert findings.nothing, f"--faults-seed {self.seed}: {findings}"
        assert max(recovery, default=0) < RECOVERY_SECONDS

    def settle_without(
        self, protection: str, fault: str, findings: Findings, *, messages: int, where: str
    ) -> None:
        """Note a run with a protection off, then fail unless damage was found in this place."""
        counts = (len(findings.lost), len(findings.doubled), len(findings.wrong))
        self._note(Run(fault, self.seed, 1, 1, messages, *counts, without=protection))
        found = [*findings.lost, *findings.doubled, *findings.wrong]
        assert [one for one in found if one.startswith(where)], f"--faults-seed {self.seed}: {findings}"

    def _note(self, run: Run) -> None:
        if self._path is not None:
            with self._path.open("ab") as ledger:
                ledger.write(msgspec.json.encode(asdict(run)) + b"\n")


COUNTS = ("lost", "doubled", "wrong")


def faults_table(runs: Iterable[Run]) -> str:
    """A row a fault, by name."""
    head = ["fault", "injected", "in flight", "messages", *COUNTS, "recovery: median, longest"]
    by_fault = _by(lambda run: run.fault, (run for run in runs if not run.without))
    lines = [
        [fault, *_sums(found, "injected", "in_flight", "messages", *COUNTS), _recovery(found)]
        for fault, found in by_fault
    ]
    return _markdown(head, 1, lines)


def protections_table(runs: Iterable[Run]) -> str:
    """A row for each protection that was off, by name."""
    head = ["without", "fault", "messages", *COUNTS]
    by_protection = _by(lambda run: (run.without, run.fault), (run for run in runs if run.without))
    lines = [[*names, *_sums(found, "messages", *COUNTS)] for names, found in by_protection]
    return _markdown(head, 2, lines)


TABLES: dict[str, Callable[[Iterable[Run]], str]] = {
    "faults": faults_table,
    "protections": protections_table,
}


def _by(key: Callable[[Run], Any], runs: Iterable[Run]) -> Iterator[tuple[Any, list[Run]]]:
    for name, found in groupby(sorted(runs, key=key), key):
        yield name, [*found]


def _sums(runs: Sequence[Run], *names: str) -> list[str]:
    return [f"{sum(getattr(run, name) for run in runs):,}" for name in names]


def _recovery(runs: Sequence[Run]) -> str:
    if all(run.stops for run in runs):
        return "stops"
    seconds = sorted(second for run in runs for second in run.recovery)
    return f"{seconds[len(seconds) // 2]:.1f} s, {seconds[-1]:.1f} s" if seconds else "-"


def _markdown(head: Sequence[str], names: int, lines: Iterable[Sequence[str]]) -> str:
    """A table whose first columns are names, and the others figures."""
    rule = ["---"] * names + ["---:"] * (len(head) - names)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def main(ledger: Path, page: Path) -> None:
    """Put the tables of the ledger's runs into the page."""
    runs = [msgspec.json.decode(line, type=Run) for line in ledger.read_bytes().splitlines()]
    text = page.read_text()
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table(runs)}\n{end}{after}"
    page.write_text(text)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
