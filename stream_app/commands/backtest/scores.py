"""`--scores`: a line for each row of history, in its order."""

import csv
import io
from dataclasses import dataclass, field
from typing import TextIO

from stream_app.commands.backtest.contender import Verdicts
from stream_app.commands.backtest.rows import Piece

_REMEMBERED = 250_000


@dataclass(slots=True)
class ScoresFile:
    """Writes `id,score,flagged`; of a row that is refused the id alone.

    A transaction that comes again has its first line again, unless 250,000 others came between.
    """

    file: TextIO
    remembered: int = _REMEMBERED
    _young: dict[str, str] = field(default_factory=dict)
    _old: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file.write("id,score,flagged\n")

    def write(self, rows: Piece, verdicts: Verdicts) -> None:
        """Write a line for each row."""
        ids = [transaction.id for transaction in rows.transactions]
        lines = [f"{txn_id},{score!r},0\n" for txn_id, score in zip(ids, verdicts.scores, strict=True)]
        for place in verdicts.flags:
            lines[place] = f"{ids[place]},{verdicts.scores[place]!r},1\n"
        again = set(verdicts.again)
        self._remember(ids, lines, again)
        for place in verdicts.again:
            lines[place] = self._first(ids[place])
        for place, row in reversed(rows.refused):
            lines.insert(place, _line(row.id))
        self.file.writelines(lines)

    def _remember(self, ids: list[str], lines: list[str], again: set[int]) -> None:
        if len(self._young) > self.remembered:
            self._old, self._young = self._young, {}
        first = zip(ids, lines, strict=True)
        self._young.update([one for place, one in enumerate(first) if place not in again] if again else first)

    def _first(self, txn_id: str) -> str:
        return self._young.get(txn_id) or self._old.get(txn_id) or _line(txn_id)


def _line(txn_id: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([txn_id, "", ""])
    return text.getvalue()
