"""The transactions that are flagged or frauds: compared, and the highest kept to be looked at."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from infra.produce.labels import Label
from schemas.money import amount_text
from stream_app.commands.backtest.decided import Judge
from stream_app.commands.backtest.outcome import Difference, Example
from stream_app.commands.backtest.rows import Piece, Verdicts

KINDS = {
    "flagged": "The highest scores",
    "alarms": "Legitimate, and flagged",
    "missed": "Frauds that are not flagged: the highest scores",
    "gained": "Flagged now, not by the other",
    "lost": "Flagged by the other, not now",
}
"""The kinds of examples, and their headings."""
_MOST = 10


@dataclass(slots=True)
class Highest:
    """Keeps the examples of the highest scores; of equal ones the first."""

    _kept: list[tuple[float, int, Example]] = field(default_factory=list)
    _number: int = 0

    def add(self, score: float, example: Callable[[], Example]) -> None:
        """Take one, which is made only if it is kept."""
        self._number -= 1
        if len(self._kept) < _MOST:
            heapq.heappush(self._kept, (score, self._number, example()))
        elif score > self._kept[0][0]:
            heapq.heapreplace(self._kept, (score, self._number, example()))

    def __iter__(self) -> Iterator[Example]:
        """From the highest score on."""
        return (example for *_, example in sorted(self._kept, reverse=True, key=lambda one: one[:2]))


@dataclass(slots=True)
class Looks:
    """Looks at transactions one by one; `contenders` are those of the verdicts."""

    contenders: Sequence[Judge]
    _counts: Counter[str] = field(default_factory=Counter)
    _kept: dict[str, Highest] = field(default_factory=lambda: {kind: Highest() for kind in KINDS})

    def at(self, place: int, rows: Piece, verdicts: Sequence[Verdicts]) -> None:
        """Look at the transaction of this place."""
        label = rows.labels[place] if rows.labels else None
        flagged = [place in its.flags for its in verdicts]
        for kind in _kinds(flagged[0], label):
            self._keep(kind, place, rows, verdicts[0], self.contenders[0])
        if len(flagged) > 1 and any(flagged):
            kind = "both" if all(flagged) else "gained" if flagged[0] else "lost"
            self._counts.update([kind, f"{kind}_frauds"] if label else [kind])
            if kind != "both":
                by = flagged.index(True)
                self._keep(kind, place, rows, verdicts[by], self.contenders[by])

    def difference(self) -> Difference | None:
        """How many flags differ; None where there is nothing to compare with."""
        if len(self.contenders) == 1:
            return None
        return Difference(**{name: self._counts[name] for name in Difference.__struct_fields__})

    def examples(self) -> dict[str, list[Example]]:
        """Those of each kind that has any."""
        return {kind: found for kind, its in self._kept.items() if (found := [*its])}

    def _keep(self, kind: str, place: int, rows: Piece, its: Verdicts, by: Judge) -> None:
        score = its.scores[place] or 0.0
        self._kept[kind].add(score, partial(_example, place, rows, its, by, score))


def _kinds(flagged: bool, label: Label) -> Iterator[str]:  # noqa: FBT001 - a private function's only question
    if flagged:
        yield "flagged"
        if label is False:
            yield "alarms"
    elif label:
        yield "missed"


def _example(place: int, rows: Piece, its: Verdicts, by: Judge, score: float) -> Example:
    one, flag = rows.transactions[place], its.flags.get(place)
    date = one.txn_date.isoformat().replace("+00:00", "Z")
    return Example(
        *(one.id, one.user_id, date, amount_text(one.amount), one.currency, score),
        fraud=rows.labels[place] if rows.labels else None,
        sentence="" if flag is None else by.explain(one, flag),
        scenario=rows.scenarios[place] if rows.scenarios else "",
    )
