"""A sheet of a workbook (xlsx) as JSON lines, a row each: a line's number is the row's."""

import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from infra.produce.compression import chosen_part
from infra.produce.errors import DamagedInputError, InputError
from infra.produce.layout import IsHeader
from infra.produce.parquet import encoded

_HEADER_ROWS = 50
_TEXTS = "xl/sharedStrings.xml"
_MOST_TEXT = 256 << 20  # all texts of a workbook stand together, and have to be in memory
_ERRORS = (zipfile.BadZipFile, ParseError, OSError, KeyError, ValueError, TypeError, EOFError)
Row = Sequence[Any]


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Whether a zip is one."""
    return "xl/workbook.xml" in archive.namelist()


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
            raise InputError(f"no workbook that can be read: {error}") from error
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
            raise DamagedInputError(f"cannot be read after row {number}: {error}") from error

    def lines(self) -> Iterator[bytes]:
        """Each row as a JSON object in a line, empty ones as empty lines."""
        for row in self.records():
            yield b"\n" if row is None else encoded(row)


def _rows(raw: BinaryIO, name: str | None) -> Iterator[Row]:
    try:
        from openpyxl import load_workbook  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError("a workbook: pip install 'txnwatch[xlsx]' reads it") from None
    with zipfile.ZipFile(raw) as archive:
        sizes = {one.filename: one.file_size for one in archive.infolist()}
    if sizes.get(_TEXTS, 0) > _MOST_TEXT:
        raise InputError("a workbook with more than 256 MB of text: save the sheet as CSV")
    try:
        book = load_workbook(raw, read_only=True, data_only=True)
    except _ERRORS as error:
        raise InputError(f"no workbook that can be read: {error}") from error
    shown = [one.title for one in book.worksheets if one.sheet_state == "visible"]
    sheet = book[chosen_part("sheet", shown, name)]
    sheet.reset_dimensions()  # some programs write wrong ones, and rows would be cut
    return iter(sheet.iter_rows(values_only=True))


def _header(rows: list[Row], is_header: IsHeader) -> tuple[list[str], int]:
    """The names of the columns, and how many rows stand before them."""
    named = [["" if cell is None else str(cell).strip() for cell in row] for row in rows]
    filled = next((at for at, names in enumerate(named) if any(names)), 0)
    at = next((at for at, names in enumerate(named) if is_header(names)), filled)
    return (named[at] if named else []), at


def _record(header: list[str], row: Row) -> dict[str, Any] | None:
    if all(cell is None for cell in row):
        return None
    return {name: cell for name, cell in zip(header, row, strict=False) if name}
