"""One pass over history: it is scored by each contender, counted, written and looked at."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta

from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.decided import DecidedHistory, Judge
from stream_app.commands.backtest.figures import Figures
from stream_app.commands.backtest.late_labels import LateLabels
from stream_app.commands.backtest.looks import Looks
from stream_app.commands.backtest.outcome import RefusedRows, Source
from stream_app.commands.backtest.output import ScoresFile
from stream_app.commands.backtest.rows import EARLIEST, LATEST, Piece, RefusedRow, Verdicts
from stream_app.commands.backtest.source import OpenHistory

_SHOWN_LINES = 5


@dataclass(slots=True)
class Seen:
    """What history was."""

    transactions: int = 0
    first: datetime = LATEST
    last: datetime = EARLIEST
    duplicates: int = 0
    revisions: int = 0
    unknown: int = 0
    """How many rows do not say where they came from, and so were not scored."""
    refused: Counter[str] = field(default_factory=Counter)
    shown: defaultdict[str, list[RefusedRow]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: Piece) -> None:
        """Look at rows."""
        self.transactions += len(rows.transactions)
        self.first, self.last = min(self.first, rows.first), max(self.last, rows.last)
        for _, row in rows.refused:
            self.refused[row.reason] += 1
            if self.refused[row.reason] <= _SHOWN_LINES:
                self.shown[row.reason].append(row)

    def source(self, history: OpenHistory) -> Source:
        """What is said of it."""
        return Source(
            name=history.name,
            transactions=self.transactions,
            first=_text(self.first) if self.transactions else None,
            last=_text(self.last) if self.transactions else None,
            duplicates=self.duplicates,
            revisions=self.revisions,
            late=history.late,
            refused=self._refusals(),
            notes=[*self._notes(history)],
        )

    def _notes(self, history: OpenHistory) -> Iterator[str]:
        if self.duplicates or self.revisions:
            yield f"{self.duplicates:,} duplicates and {self.revisions:,} revisions: not scored again"
        if self.unknown:
            yield f"{self.unknown:,} do not say where they came from: not scored"
        if history.labels_given:
            yield f"{history.labels_given:,} transactions have a label that they were given"
        if history.late:
            yield f"{history.late:,} are older than one before them, and were scored in this order"
        if (labels := history.labels) is not None:
            yield f"{labels.matched:,} transactions have a label of the {len(labels):,} in the file"
            if labels.contradictions:
                named = ", ".join(labels.contradicted)
                yield f"{labels.contradictions:,} labels contradict others, and the later counts: {named}"
        if history.words.unreadable:
            words = ", ".join(map(ascii, history.words.unreadable))
            yield f"no label, and taken as not known: {words}"

    def _refusals(self) -> dict[str, RefusedRows]:
        """By reason."""
        return {
            reason: RefusedRows(count, [row.line for row in self.shown[reason]], self.shown[reason][0].detail)
            for reason, count in sorted(self.refused.items())
        }


@dataclass(slots=True)
class Run:
    """The pass; the first contender is the one that is asked about, a second one what it is compared with.

    Of the first `warm_up` of history no figures are taken.
    """

    contenders: Sequence[Judge]
    figures: Sequence[Figures]
    _: KW_ONLY
    warm_up: timedelta = timedelta(0)
    labels_late: timedelta = timedelta(0)
    """How long after a transaction its label is known to detectors that learn from it."""
    scores: ScoresFile | None = None
    progress: Callable[[int], None] = lambda _: None
    seen: Seen = field(default_factory=Seen)
    looks: Looks = field(init=False)
    judges: Sequence[LateLabels | DecidedHistory] = field(init=False)

    def __post_init__(self) -> None:
        self.looks = Looks(self.contenders)
        self.judges = [
            LateLabels(one, self.labels_late) if isinstance(one, Contender) else one
            for one in self.contenders
        ]

    def through(self, history: Iterable[Piece]) -> None:
        """Take all of it."""
        for rows in history:
            self.seen.add(rows)
            verdicts = [one.judge(rows) for one in self.judges]
            self._count(rows, verdicts)
            self.seen.duplicates += verdicts[0].duplicates
            self.seen.unknown += verdicts[0].unknown
            self.seen.revisions += len(verdicts[0].again) - verdicts[0].duplicates - verdicts[0].unknown
            if self.scores is not None:
                self.scores.write(rows, verdicts[0])
            self.progress(self.seen.transactions)

    def _count(self, rows: Piece, verdicts: Sequence[Verdicts]) -> None:
        counted_from = self.seen.first + self.warm_up if self.warm_up and self.seen.transactions else EARLIEST
        for figures, its in zip(self.figures, verdicts, strict=True):
            figures.add(rows, its, counted_from)
        frauds = {place for place, label in enumerate(rows.labels) if label} if True in rows.labels else set()
        noticed = frauds.union(*(its.flags for its in verdicts)).difference(verdicts[0].again)
        for place in sorted(noticed):
            if rows.transactions[place].txn_date >= counted_from:
                self.looks.at(place, rows, verdicts)


def _text(date: datetime) -> str:
    return date.isoformat(timespec="seconds").replace("+00:00", "Z")
