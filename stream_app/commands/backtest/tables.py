"""CSV and JSON lines as history: ordinary rows together, any other alone, by produce's own code."""

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from infra.produce.labels import LABEL, SCENARIO, LabelWords
from infra.produce.layout import delimiter_of
from infra.produce.rows import Item, RejectedRow, RowReader, json_fields
from infra.produce.tables import csv_rows, numbered
from schemas import strict_json
from stream_app.commands.backtest.ordinary import IDENTIFIERS, NOT_ORDINARY, REQUIRED, Cells, OrdinaryForm
from stream_app.commands.backtest.rows import Piece, RefusedRow

_LONGEST_CELL = 131_072  # the csv module refuses a row with a longer one, whatever column that is in
_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(IDENTIFIERS, str | None),
    "amount": msgspec.Raw,
    "meta_data": None,
    LABEL: Any,
    SCENARIO: Any,
}
R = TypeVar("R")


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
class Table(Generic[R]):
    """Rows under way: `form` is None where none can be ordinary, `line` is the next row's."""

    alone: OneByOne
    form: OrdinaryForm | None
    line: int

    def several(self, found: Sequence[tuple[int, R]]) -> Piece:
        """Rows, each with its line: together if all are ordinary, otherwise each half apart."""
        if self.form is not None and found:
            with suppress(*NOT_ORDINARY):
                return self.form.rows(self.cells([row for _, row in found]))
        if len(found) <= 1:
            return self.one(*found[0]) if found else Piece()
        half = len(found) // 2
        rows = self.several(found[:half])
        rows.add(self.several(found[half:]))
        return rows

    def cells(self, rows: Sequence[R]) -> Cells:
        """The columns of rows; ValueError where one of them is not ordinary."""
        raise NotImplementedError

    def one(self, line: int, row: R) -> Piece:
        """A row alone, as produce reads it."""
        raise NotImplementedError


@dataclass(slots=True)
class CsvTable(Table[Any]):
    """A table whose header was read; a row is a list, or the error in its place.

    `begin` is the header's line, which shows the delimiter; `places` has each field's column, those of the
    label and its scenario too.
    """

    begin: bytes
    columns: int
    places: Mapping[str, int]

    def read(self, blocks: Iterator[bytes]) -> Iterator[Piece]:
        """The rows of blocks of whole lines."""
        for block in blocks:
            yield self._plain(block) or self._table(block, blocks)

    def _plain(self, block: bytes) -> Piece | None:
        """The rows of a block without a quote, if all are of the ordinary form."""
        if self.form is None or b'"' in block:
            return None
        try:
            rows = self.form.rows(self._split(block))
        except NOT_ORDINARY:
            return None
        self.line += len(rows.transactions)
        return rows

    def _split(self, block: bytes) -> Cells:
        """Its columns.

        Each line's first cell keeps the end of the line before it until it is seen that all those are in the
        first column: every row has as many cells as the header then.
        """
        text = "\n" + block.decode().replace("\r\n", "\n").removesuffix("\n")
        delimiter, count = delimiter_of(self.begin), text.count("\n")
        cells = text.replace("\n", f"{delimiter}\n").split(delimiter)[1:]
        ends = "".join(cells[:: self.columns])
        too_long = len(text) > _LONGEST_CELL and max(map(len, cells)) > _LONGEST_CELL
        if len(cells) != count * self.columns or ends.count("\n") != count or "\r" in text or too_long:
            raise ValueError
        cells[:: self.columns] = ends.split("\n")[1:]
        return {name: cells[at :: self.columns] for name, at in self.places.items()}

    def _table(self, block: bytes, blocks: Iterator[bytes]) -> Piece:
        lines, found, before = BlockLines(block, blocks), list[tuple[int, Any]](), self.line - 1
        table = csv_rows(self.begin, lines)
        for line, row in numbered(table):
            found.append((before + line, row))
            if lines.are_read:
                break
        self.line += table.line_num
        return self.several(found)

    def cells(self, rows: Sequence[Any]) -> Cells:
        """The columns of rows that have as many cells as the header."""
        columns = [*zip(*rows, strict=True)]
        if len(columns) != self.columns:
            raise ValueError
        return {name: columns[at] for name, at in self.places.items()}

    def one(self, line: int, row: Any) -> Piece:
        """A row alone, as produce reads it."""
        fields = {name: at for name, at in self.places.items() if name not in (LABEL, SCENARIO)}
        item = self.alone.reader.csv_item(line, row, self.columns, fields)
        if item is None:
            return Piece()
        cells = row if isinstance(row, list) else []
        return self.alone.row(item, {name: cells[at] for name, at in self.places.items() if at < len(cells)})


@dataclass(slots=True)
class JsonTable(Table[bytes]):
    """Objects, one a line; `names` has the field of each name of the first, or None where it is no field."""

    names: Mapping[str, str | None]
    _read: Callable[[bytes], Sequence[Any]] = field(init=False)

    def __post_init__(self) -> None:
        row = msgspec.defstruct(
            "_Object",
            [_member(at, *named) for at, named in enumerate(self.names.items())],
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )
        self._read = msgspec.json.Decoder(row).decode_lines

    def read(self, blocks: Iterator[bytes]) -> Iterator[Piece]:
        """The rows of blocks of whole lines."""
        for block in blocks:
            lines = _lines_of(block)
            yield self.several([*enumerate(lines, self.line)])
            self.line += len(lines)

    def cells(self, rows: Sequence[bytes]) -> Cells:
        """The columns of objects that are flat."""
        together = b"".join(rows)
        are_flat = together.count(b"{") == len(rows) and b"[" not in together
        if not are_flat or not strict_json.is_plain_text(together):
            raise ValueError
        found = self._read(together)
        if len(found) != len(rows):
            raise ValueError
        cells = {name: [getattr(one, name) for one in found] for name in self.names.values() if name}
        cells["amount"] = [bytes(raw).decode().strip('"') for raw in cells["amount"]]
        for name in {LABEL, SCENARIO} & cells.keys():
            cells[name] = ["" if cell is None else str(cell) for cell in cells[name]]
        return cells

    def one(self, line: int, row: bytes) -> Piece:
        """A line alone, as produce reads it."""
        if row.isspace():
            return Piece()
        fields = json_fields(line, row)
        if isinstance(fields, RejectedRow):
            return self.alone.refused(fields, "")
        cells = {
            name: bytes(fields[column]).decode().strip('"')
            for column, name in [*self.names.items(), ("id", "id")]
            if name and column in fields
        }
        return self.alone.row(self.alone.reader.json_item(line, fields), cells)


def _member(at: int, column: str, name: str | None) -> tuple[Any, ...]:
    """A field of the struct that an object is read as."""
    kind = _KINDS.get(name, str) if name else Any
    default = {} if name in REQUIRED else {"default": None}
    return name or f"_{at}", kind, msgspec.field(name=column, **default)
