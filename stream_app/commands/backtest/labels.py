"""Labels as people write them: in columns of history, or in a file of their own that is joined to it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from infra.produce.files import Input, InputError, open_input
from infra.produce.tables import csv_rows, first_line, header_of, numbered
from schemas.transaction import Transaction
from stream_app.commands.backtest.rows import Label, Piece

LABEL: Final = "label"
SCENARIO: Final = "label_scenario"
_WORDS: Final[dict[str, Label]] = {
    **dict.fromkeys(["1", "1.0", "true", "t", "yes", "y", "fraud", "fraudulent"], True),
    **dict.fromkeys(["0", "0.0", "false", "f", "no", "n", "legitimate", "legit", "genuine"], False),
    **dict.fromkeys(["", "null", "nan", "none", "unknown", "n/a", "<na>", "\\n"], None),
}
_NAMES: Final = {
    LABEL: ["label", "isfraud", "fraud", "txfraud", "class"],
    SCENARIO: ["labelscenario", "txfraudscenario"],
}
_SHOWN = 5


class LabelWords(dict[str, Label]):
    """What each text says; one that says nothing is as if there were none, and is kept to be named.

    >>> words = LabelWords()
    >>> words["Fraud"], words["0"], words[""], words["maybe"], words["maybe"], words.unreadable
    (True, False, None, None, None, ['maybe'])
    """

    def __init__(self) -> None:
        super().__init__(_WORDS)
        self.unreadable: list[str] = []
        """The first few texts that are no label."""

    def __missing__(self, text: str) -> Label:
        word = text.strip().lower()
        if word not in _WORDS and len(self.unreadable) < _SHOWN:
            self.unreadable.append(text)
        label = self[text] = _WORDS.get(word)
        return label


def label_columns(header: Iterable[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """The columns of labels and of their scenarios, where there are any; `chosen` ones come first.

    >>> label_columns(["id", "TX_FRAUD", "TX_FRAUD_SCENARIO"], {})
    {'label': 'TX_FRAUD', 'label_scenario': 'TX_FRAUD_SCENARIO'}
    """
    plain = {re.sub(r"[\W_]+", "", name).casefold(): name for name in header}
    fitting = {field: [plain[name] for name in names if name in plain] for field, names in _NAMES.items()}
    found = {field: names[0] for field, names in fitting.items() if names}
    return found | {field: column for field, column in chosen.items() if field in _NAMES}


_KEYS = ("id", "user_id", "txn_date")
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
    begin, lines = first_line(opened.lines())
    table = csv_rows(begin, lines)
    header = header_of(table)
    if absent := {"id", LABEL} - {*header}:
        raise LabelsError(f"no column {', '.join(sorted(absent))}; there are: {', '.join(header)}")
    labels, words = LabelFile([name for name in _KEYS if name in header]), LabelWords()
    for line, row in numbered(table):
        cells = dict(zip(header, row, strict=False)) if isinstance(row, list) else {}
        if any(cells.values()):
            _put(labels, words, line, cells)
    return labels


def _put(labels: LabelFile, words: LabelWords, line: int, row: dict[str, str]) -> None:
    try:
        date = datetime.fromisoformat(row["txn_date"]) if "txn_date" in labels.columns else None
        texts = [row[name].strip().lower() for name in labels.columns if name != "txn_date"]
    except (KeyError, ValueError) as error:
        raise LabelsError(f"line {line}: {error}") from None
    if date is not None and date.tzinfo is None:
        raise LabelsError(f"line {line}: {row['txn_date']} has no offset from UTC")
    label = words[row.get(LABEL, "")]
    if words.unreadable:
        raise LabelsError(f"line {line}: {words.unreadable[0]!a} is neither fraud nor legitimate")
    labels.put(texts[0], texts[-1], date, label)
