"""Labels as people write them: in columns beside transactions, or in a file of their own."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from infra.produce.columns import Columns
from infra.produce.dates import date_text
from infra.produce.errors import InputError
from infra.produce.rows import RejectedRow
from infra.produce.tables import csv_rows, first_line, fitted, header_of, is_blank, numbered
from schemas.mapping.values import cell_of

Label = bool | None
"""True: a fraud. None: it is not known whether it was one."""
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


class LabelRow(NamedTuple):
    """A line of a file of labels; what it has no column for is empty."""

    line: int
    id: str
    user_id: str
    txn_date: datetime | None
    label: Label


class LabelTable:
    """A file of labels, as CSV with `id`, `label`, and `user_id` and `txn_date` where they are there."""

    def __init__(self, lines: Iterable[bytes], *, assume_utc: bool = False) -> None:
        """Read the header.

        Raises:
            InputError: It lacks a column.
        """
        begin, lines = first_line(lines)
        self._table, self._assume_utc, self._words = csv_rows(begin, lines), assume_utc, LabelWords()
        header = header_of(self._table)
        picked = label_columns(header, {}) | Columns().pick(tuple(header))
        if absent := {"id", LABEL} - picked.keys():
            raise InputError(f"no column {', '.join(sorted(absent))}; there are: {', '.join(header)}")
        self.columns = [name for name in ("id", "user_id", "txn_date") if name in picked]
        """Those by which transactions are known."""
        self._places = {name: header.index(picked[name]) for name in (*self.columns, LABEL)}
        self._width = len(header)

    def rows(self) -> Iterator[LabelRow | RejectedRow]:
        """The lines that are not blank."""
        for line, row in numbered(self._table):
            if isinstance(row, csv.Error):
                yield RejectedRow(line, "csv", str(row))
            elif not is_blank(row):
                yield self._row(line, row)

    def _row(self, line: int, row: list[str]) -> LabelRow | RejectedRow:
        if len(row := fitted(row, self._width)) != self._width:
            return RejectedRow(line, "csv", f"{len(row)} columns, but the header has {self._width}")
        cells = {name: cell_of(row[place]) for name, place in self._places.items()}
        label = self._words[cells[LABEL]]
        if self._words.unreadable:
            return RejectedRow(
                line, LABEL, f"{self._words.unreadable.pop()!a} is neither fraud nor legitimate"
            )
        try:
            date = self._date(cells["txn_date"]) if "txn_date" in cells else None
        except (ValueError, OverflowError) as error:  # the beginning of year 1 may be in year 0
            return RejectedRow(line, "txn_date", str(error))
        return LabelRow(line, cells["id"].lower(), cells.get("user_id", "").lower(), date, label)

    def _date(self, text: str) -> datetime:
        date = datetime.fromisoformat(date_text(text, assume_utc=self._assume_utc))
        if date.tzinfo is None:
            raise ValueError(f"{text} has no offset from UTC")
        return date.astimezone(UTC)
