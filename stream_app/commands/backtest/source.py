"""Where history comes from: a file, which may be read twice, or the rows in Postgres."""

import operator
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

from rich.console import Console

from infra.produce.errors import InputError
from infra.produce.files import STDIN, open_input
from infra.produce.labels import LabelWords
from stream_app.commands.backtest.database import rows_of
from stream_app.commands.backtest.history import FileHistory
from stream_app.commands.backtest.labels import LabelFile
from stream_app.commands.backtest.options import BacktestOptions
from stream_app.commands.backtest.rows import EARLIEST, Piece, between, by_date, in_order
from stream_app.settings import Settings


@dataclass(slots=True)
class OpenHistory:
    """History under way, and what is noticed of them."""

    name: str
    fraction: Callable[[], float | None]
    """How much of it has been read, from 0 to 1; None where that cannot be known."""
    words: LabelWords
    labels: LabelFile | None = None
    rows: Iterable[Piece] = ()
    labels_given: int = 0
    """How many transactions have a label in Postgres."""
    late: int = 0
    """How many transactions are older than one before them."""
    _last: datetime = EARLIEST

    def labelled(self, rows: Iterable[Piece]) -> Iterator[Piece]:
        """The same rows, their labels counted."""
        for piece in rows:
            self.labels_given += len(piece.labels) - piece.labels.count(None)
            yield piece

    def counted(self, rows: Iterable[Piece]) -> Iterator[Piece]:
        """The same rows, looked at."""
        for piece in rows if self.labels is None else self.labels.join(rows):
            dates = [transaction.txn_date for transaction in piece.transactions]
            if dates:
                ordered = sorted(dates)
                if dates[0] < self._last or dates != ordered:
                    latest = accumulate(dates, max, initial=self._last)
                    self.late += sum(map(operator.lt, dates, latest))
                piece.first, piece.last = ordered[0], ordered[-1]
                self._last = max(self._last, piece.last)
            yield piece


@dataclass(slots=True)
class HistorySource:
    """The file that was named, to be read as often as it takes."""

    given: BacktestOptions
    settings: Settings
    console: Console
    labels: LabelFile | None
    file: Path | None = field(init=False)
    _times: int = 0

    def __post_init__(self) -> None:
        self.file = self.given.file

    @contextmanager
    def opened(self) -> Iterator[OpenHistory]:
        """Its rows, from the first on."""
        if self.file is None:
            url = self.settings.postgres.get_secret_value()
            history = OpenHistory("the rows in Postgres", lambda: None, LabelWords(), self.labels)
            stored = rows_of(url, *self.given.span, labelled=self.labels is None)
            history.rows = history.counted(history.labelled(stored))
            yield history
            return
        with open_input(self.file, self.given.reading.form()) as opened:
            reader = self._reader()
            history = OpenHistory(_name(self.given.file), opened.fraction, reader.words, self.labels)
            history.rows = history.counted(between(self._in_order(*reader.read(opened)), *self.given.span))
            yield history

    def _reader(self) -> FileHistory:
        """What is said of the columns is said once."""
        settings, say = self.settings, (lambda _: None) if self._times else self.console.print
        self._times += 1
        max_ahead = timedelta(hours=settings.max_ahead_hours)
        return FileHistory(
            self.given.reading, datetime.now(UTC), settings.max_message_bytes, max_ahead, say=say
        )

    def _in_order(self, exported: bool, rows: Iterator[Piece]) -> Iterator[Piece]:  # noqa: FBT001 - as `read` has it
        reading = self.given.reading
        if reading.sort or (exported and not reading.as_is):
            return by_date(rows)
        return rows if reading.as_is else in_order(rows)


def _name(file: Path | None) -> str:
    return "standard input" if file is None or file == STDIN else file.name


@contextmanager
def rereadable(path: Path) -> Iterator[Path]:
    """The path of a file with the same content, there for as long as this is entered.

    Raises:
        InputError: It cannot be read, or the folder of TMPDIR has no room.
    """
    if path != STDIN and (path.is_file() or not path.exists()):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="txnwatch-") as kept:
        try:
            with sys.stdin.buffer if path == STDIN else path.open("rb") as source:
                shutil.copyfileobj(source, kept, 1 << 20)
            kept.flush()
        except OSError as error:
            raise InputError(f"cannot be kept in the folder of TMPDIR: {error.strerror}") from error
        yield Path(kept.name)
