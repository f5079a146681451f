"""Files that are there whole or not at all, and the scores of every row as one."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from stream_app.commands.backtest.rows import Piece, Verdicts


class OutputError(Exception):
    """A file cannot be written; the message names it."""


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A file that gets its name when all went well, and else is gone; a pipe or a device is written as it is.

    Raises:
        OutputError: It cannot be written, which shows at once.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with _opened(path, path, "w") as file:
            yield file
        return
    whole = path.resolve()
    part = whole.with_name(f".{whole.name}.{os.getpid()}")
    if whole.is_dir() or (whole.exists() and not os.access(whole, os.W_OK)):
        raise OutputError(f"{path} cannot be written: it is {'a folder' if whole.is_dir() else 'read-only'}")
    try:
        with _opened(part, path, "x") as file:
            yield file
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def _opened(path: Path, name: Path, mode: str) -> TextIO:
    try:
        return path.open(mode, encoding="utf-8", newline="", buffering=1 << 18)  # type: ignore[return-value]
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror}") from error


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
