"""Labels in a file of their own, which are joined to history of any kind."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from infra.produce.errors import InputError
from infra.produce.files import Input, open_input
from infra.produce.labels import Label, LabelTable
from infra.produce.rows import RejectedRow
from schemas.transaction import Transaction
from stream_app.commands.backtest.rows import Piece

_NAMED = 5


class LabelsError(Exception):
    """A file of labels cannot be used; the message says where."""


@dataclass(slots=True)
class LabelFile:
    """What a file says of transactions, some 150 bytes each; it knows them by these `columns`.

    Of two labels of a transaction the later one in the file counts.
    """

    columns: Sequence[str]
    contradictions: int = 0
    contradicted: list[str] = field(default_factory=list)
    """The first few ids with two labels."""
    matched: int = 0
    """How many transactions it has labelled."""
    _labels: dict[int, Label] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._labels)

    def put(self, txn_id: str, user_id: str, date: datetime | None, label: Label) -> None:
        """Take a line."""
        key = self._key(txn_id, user_id, date)
        if self._labels.get(key, label) is not label:
            self._contradict(txn_id)
        self._labels[key] = label

    def join(self, history: Iterable[Piece]) -> Iterator[Piece]:
        """The same rows with these labels; one that has no line keeps its own."""
        for piece in history:
            labels = piece.labels or [None] * len(piece.transactions)
            piece.labels = [*map(self._joined, piece.transactions, labels)]
            yield piece

    def _joined(self, one: Transaction, own: Label) -> Label:
        label = self._labels.get(self._key(one.id, one.user_id, one.txn_date))
        if label is None:
            return own
        self.matched += 1
        if own is not None and own is not label:
            self._contradict(one.id)
        return label

    def _key(self, txn_id: str, user_id: str, date: datetime | None) -> int:
        """64 bits of what it is known by: by chance, two of ten million are one in 400,000 files."""
        return hash(
            (txn_id, user_id if "user_id" in self.columns else "", date if "txn_date" in self.columns else "")
        )

    def _contradict(self, txn_id: str) -> None:
        self.contradictions += 1
        if self.contradictions <= _NAMED:
            self.contradicted.append(txn_id)


def read_labels(path: Path) -> LabelFile:
    """Read a file.

    Raises:
        LabelsError: It cannot be read, lacks a column, or a line of it is none; the message names the line.
    """
    try:
        with open_input(path) as opened:
            return _read(opened)
    except (InputError, LabelsError) as error:
        raise LabelsError(f"{path}: {error}") from error


def _read(opened: Input) -> LabelFile:
    table = LabelTable(opened.lines())
    labels = LabelFile(table.columns)
    for one in table.rows():
        if isinstance(one, RejectedRow):
            raise LabelsError(f"line {one.line}: {one.detail}")
        labels.put(one.id, one.user_id, one.txn_date, one.label)
    return labels
