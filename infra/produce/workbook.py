"""A sheet of a workbook (xlsx) as JSON lines, a row each: a line's number is the row's."""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import IO, Any, BinaryIO
from xml.etree.ElementTree import ParseError

from infra.produce.compression import chosen_part
from infra.produce.errors import DamagedInputError, InputError
from infra.produce.layout import IsHeader, each_once
from infra.produce.parquet import encoded

_HEADER_ROWS = 50
_SHEETS = "xl/worksheets/"
_MOST_TEXT = 256 << 20  # all texts of a workbook stand together, and have to be in memory
# As XML is read, a row is in memory as a whole, up to 100 times as large where its cells are empty; and so is
# what stands behind all rows, as what is merged and linked.
_MOST_ROW, _MOST_AFTER = 2 << 20, 64 << 20
_ROW_END = re.compile(rb"</(?:\w+:)?(row|sheetData)\s*>")
_LONGEST_END = 64  # bytes
_MOST_ROWS = 1_048_576  # of a sheet
# openpyxl reads what it finds as what it should be, and stumbles.
_STUMBLES = (LookupError, ValueError, TypeError, AttributeError)
_ERRORS = (zipfile.BadZipFile, ParseError, OSError, EOFError, *_STUMBLES)
Row = Sequence[Any]


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Whether a zip is one."""
    return "xl/workbook.xml" in archive.namelist()


class _Sheet(io.RawIOBase):
    """The text of a sheet, up to a row that is too long."""

    def __init__(self, text: IO[bytes]) -> None:
        self._text = text
        self._tail = b""
        self._since, self._most = 0, _MOST_ROW

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            ValueError: A row is too long.
        """
        piece = self._text.read(size)
        text = self._tail + piece
        self._since += len(piece)
        for end in _ROW_END.finditer(text):
            self._since = len(text) - end.end()
            self._most = _MOST_ROW if end[1] == b"row" else _MOST_AFTER
        if self._since > self._most:
            raise ValueError(f"a row of more than {_MOST_ROW:,} bytes")
        self._tail = text[-_LONGEST_END:]
        return piece


class _Archive(zipfile.ZipFile):
    """A workbook whose parts take little memory, or are refused."""

    def open(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """A part as a stream.

        Raises:
            ValueError: It is too large.
        """
        part = super().open(name, *args, **kwargs)
        if str(name).startswith(_SHEETS):
            return _Sheet(part)
        if self.getinfo(str(name)).file_size > _MOST_TEXT:
            raise ValueError("more than 256 MB of text: save the sheet as CSV")
        return part


class SheetRows:
    """The rows of the only sheet, or of the one that is named; `before_header` counts those before theirs."""

    def __init__(self, raw: BinaryIO, name: str | None, is_header: IsHeader) -> None:
        """Find the sheet and its header.

        Raises:
            InputError: openpyxl is not installed, this is no workbook, or it is too large.
            PartError: It has several sheets, or not this one.
        """
        self._rows = _rows(raw, name)
        try:
            self._first: list[Row] = [*islice(self._rows, _HEADER_ROWS)]
        except _ERRORS as error:
            raise InputError(f"no workbook that can be read: {_why(error)}") from error
        self._header, self.before_header = _header(self._first, is_header)

    def fraction(self) -> float | None:
        """Unknown: what a sheet says of its size is often wrong."""

    def records(self) -> Iterator[dict[str, Any] | None]:
        """Each row by its columns' names, None for rows without any and up to the header.

        Raises:
            DamagedInputError: The file cannot be read to its end.
        """
        number = 0
        try:
            for number, row in enumerate(chain(self._first, self._rows), start=1):
                yield None if number <= self.before_header + 1 else _record(self._header, row)
        except _ERRORS as error:
            raise DamagedInputError(f"cannot be read after row {number}: {_why(error)}") from error

    def lines(self) -> Iterator[bytes]:
        """Each row as a JSON object in a line, empty ones as empty lines."""
        for row in self.records():
            yield b"\n" if row is None else encoded(row)


def _why(error: BaseException) -> str:
    """A line of what was the matter: openpyxl writes a paragraph around it."""
    return str(error.__cause__ or error).partition("\n")[0]


def _rows(raw: BinaryIO, name: str | None) -> Iterator[Row]:
    try:
        from openpyxl.reader.excel import ExcelReader  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError("a workbook: pip install 'txnwatch[xlsx]' reads it") from None
    try:
        reader = ExcelReader(raw, read_only=True, data_only=True)
        reader.archive = _Archive(raw)
        reader.read()
    except _ERRORS as error:
        raise InputError(f"no workbook that can be read: {_why(error)}") from error
    book = reader.wb
    shown = [one.title for one in book.worksheets if one.sheet_state == "visible"]
    sheet = book[chosen_part("sheet", shown, name)]
    sheet.reset_dimensions()  # some programs write wrong ones, and rows would be cut
    return iter(sheet.iter_rows(max_row=_MOST_ROWS, values_only=True))


def _header(rows: list[Row], is_header: IsHeader) -> tuple[list[str], int]:
    """The names of the columns, and how many rows stand before them."""
    named = [["" if cell is None else str(cell).strip() for cell in row] for row in rows]
    filled = next((at for at, names in enumerate(named) if any(names)), 0)
    at = next((at for at, names in enumerate(named) if is_header(names)), filled)
    return each_once(named[at]) if named else [], at


def _record(header: list[str], row: Row) -> dict[str, Any] | None:
    if all(cell is None for cell in row):
        return None
    return {name: cell for name, cell in zip(header, row, strict=False) if name}
