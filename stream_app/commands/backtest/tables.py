"""CSV and JSON lines as history: ordinary rows together, any other alone, by produce's own code."""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.produce.rows import Item, RejectedRow, RowReader, json_fields
from infra.produce.tables import csv_rows, delimiter_of, numbered
from schemas import strict_json
from stream_app.commands.backtest.labels import LABEL, SCENARIO, LabelWords
from stream_app.commands.backtest.ordinary import OrdinaryForm
from stream_app.commands.backtest.rows import Piece, RefusedRow

_Row = tuple[int, Any]  # a row of CSV, or the error in its place, and its line
_ENCODE = msgspec.json.Encoder().encode_lines
_NOT_ORDINARY = (ValueError, TypeError, OverflowError)


class BlockLines:
    """The lines of a block, and of the blocks after it once a row needs them to its end."""

    def __init__(self, block: bytes, more: Iterator[bytes]) -> None:
        self.lines, self._more = _lines_of(block)[::-1], more

    def __iter__(self) -> Iterator[bytes]:
        while self.lines or self._next():
            yield self.lines.pop()

    @property
    def are_read(self) -> bool:
        """Whether the last block's last line has been read."""
        return not self.lines

    def _next(self) -> bool:
        self.lines = _lines_of(next(self._more, b""))[::-1]
        return bool(self.lines)


def _lines_of(block: bytes) -> list[bytes]:
    return io.BytesIO(block).readlines()


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Reads a row alone, as produce does; `fields` has the label and its scenario, if there are columns."""

    reader: RowReader
    words: LabelWords
    fields: Collection[str]

    def row(self, item: Item, cells: Mapping[str, str]) -> Piece:
        """One row as produce read it; `cells` has its id and its label, as far as they are there."""
        if isinstance(item, RejectedRow):
            return self.refused(item, cells.get("id", ""))
        transaction = self.reader.decoder.decode(item.value, item.key, self.reader.now_ms())
        labels = [self.words[cells.get(LABEL, "")]] if LABEL in self.fields else []
        return Piece([transaction], labels, [cells.get(SCENARIO, "")] if SCENARIO in self.fields else [])

    @staticmethod
    def refused(item: RejectedRow, txn_id: str) -> Piece:
        """A row that is no transaction, with its id as it stands there."""
        return Piece(refused=[(0, RefusedRow(item.line, txn_id, item.reason, item.detail))])


@dataclass(slots=True)
class CsvTable:
    """A table whose header was read.

    `form` is None where no row can be ordinary; `begin` is the header's line, which shows the delimiter;
    `places` has each field's column, `labels` those of the label and its scenario; `line` is the next row's.
    """

    alone: OneByOne
    form: OrdinaryForm | None
    begin: bytes
    columns: int
    places: Mapping[str, int]
    labels: Mapping[str, int]
    line: int

    def read(self, blocks: Iterator[bytes]) -> Iterator[Piece]:
        """The rows of blocks of whole lines."""
        for block in blocks:
            yield self._plain(block) or self._table(block, blocks)

    def _plain(self, block: bytes) -> Piece | None:
        """The rows of a block without a quote, if all are of the ordinary form."""
        if self.form is None or b'"' in block or b"\\" in block:
            return None
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        cells = (
            block.removesuffix(b"\n")
            .replace(delimiter_of(self.begin).encode(), b'","')
            .replace(b"\n", b'"]\n["')
        )
        try:
            rows = self.form.rows(b'["' + cells + b'"]')
        except _NOT_ORDINARY:
            return None
        self.line += len(rows.transactions)
        return rows

    def _table(self, block: bytes, blocks: Iterator[bytes]) -> Piece:
        lines, found, before = BlockLines(block, blocks), list[_Row](), self.line - 1
        table = csv_rows(self.begin, lines)
        for line, row in numbered(table):
            found.append((before + line, row))
            if lines.are_read:
                break
        self.line += table.line_num
        return self._several(found)

    def _several(self, found: Sequence[_Row]) -> Piece:
        if self.form is not None and found:
            with suppress(*_NOT_ORDINARY):
                return self.form.rows(_ENCODE([row for _, row in found]))
        if len(found) <= 1:
            return self._one(*found[0]) if found else Piece()
        half = len(found) // 2
        rows = self._several(found[:half])
        rows.add(self._several(found[half:]))
        return rows

    def _one(self, line: int, row: Any) -> Piece:
        item = self.alone.reader.csv_item(line, row, self.columns, self.places)
        if item is None:
            return Piece()
        cells = row if isinstance(row, list) else []
        places = {**self.labels, "id": self.places["id"]}
        return self.alone.row(item, {name: cells[at] for name, at in places.items() if at < len(cells)})


@dataclass(slots=True)
class JsonTable:
    """Objects, one a line; `labels` names the columns of the label and its scenario, where there are any."""

    alone: OneByOne
    form: OrdinaryForm | None
    labels: Mapping[str, str]
    line: int = 1

    def read(self, blocks: Iterator[bytes]) -> Iterator[Piece]:
        """The rows of blocks of whole lines."""
        for block in blocks:
            lines = _lines_of(block)
            yield self._several([*enumerate(lines, self.line)])
            self.line += len(lines)

    def _several(self, found: Sequence[tuple[int, bytes]]) -> Piece:
        if self.form is not None and found:
            with suppress(*_NOT_ORDINARY):
                return self._ordinary(self.form, [line for _, line in found])
        if len(found) <= 1:
            return self._one(*found[0]) if found else Piece()
        half = len(found) // 2
        rows = self._several(found[:half])
        rows.add(self._several(found[half:]))
        return rows

    @staticmethod
    def _ordinary(form: OrdinaryForm, lines: Sequence[bytes]) -> Piece:
        together = b"".join(lines)
        are_flat = together.count(b"{") == len(lines) and b"[" not in together
        if not are_flat or not strict_json.is_plain_text(together):
            raise ValueError
        rows = form.rows(together)
        if len(rows.transactions) != len(lines):
            raise ValueError
        return rows

    def _one(self, number: int, line: bytes) -> Piece:
        if line.isspace():
            return Piece()
        fields = json_fields(number, line)
        if isinstance(fields, RejectedRow):
            return self.alone.refused(fields, "")
        cells = {name: _text_of(fields[column]) for name, column in self.labels.items() if column in fields}
        cells |= {"id": _text_of(fields["id"])} if "id" in fields else {}
        return self.alone.row(self.alone.reader.json_item(number, fields), cells)


def _text_of(raw: msgspec.Raw) -> str:
    return bytes(raw).decode().strip('"')
