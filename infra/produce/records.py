"""The records of any file, as mappings are given them."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from infra.produce.files import MAX_LINE, Input, is_cut
from infra.produce.layout import delimiter_of
from infra.produce.rows import RejectedRow
from infra.produce.tables import first_line, fitted, header_of, is_blank, numbered, rows_of

Record: TypeAlias = dict[str, Any]
Numbered: TypeAlias = tuple[int, Record | RejectedRow]

# Money is exact: a number with a point never becomes a double.
_OBJECT = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def records_of(
    opened: Input, lines: Iterable[bytes], check: Callable[[Sequence[str]], None], delimiter: str = ""
) -> Iterator[Numbered]:
    """Each record with its line, or why it is none; cells are text, JSON and typed files have more.

    `check` is given the names of a table's columns, and raises InputError where they are not the right ones.

    Raises:
        InputError: The file is none of records, or what `check` raises.
    """
    if opened.typed is not None:
        typed = enumerate(opened.typed.records(), start=1)
        yield from ((number, row) for number, row in typed if row is not None)
        return
    begin, lines = first_line(lines)
    if begin.startswith(b"{"):
        yield from (
            (number, _object(number, line)) for number, line in enumerate(lines, 1) if not line.isspace()
        )
    elif begin:
        yield from _table(lines, delimiter or delimiter_of(begin), check)


def _object(number: int, line: bytes) -> Record | RejectedRow:
    if is_cut(line):
        return RejectedRow(number, "size", f"more than {MAX_LINE} bytes")
    try:
        return _OBJECT(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        return RejectedRow(number, "json", str(error))


def _table(
    lines: Iterable[bytes], delimiter: str, check: Callable[[Sequence[str]], None]
) -> Iterator[Numbered]:
    rows = rows_of(lines, delimiter)
    header = header_of(rows)
    check(header)
    for line, row in numbered(rows):
        if isinstance(row, csv.Error):
            yield line, RejectedRow(line, "csv", str(row))
        elif len(row := fitted(row, len(header))) == len(header):
            yield line, dict(zip(header, row, strict=True))
        elif not is_blank(row):
            yield line, RejectedRow.of_width(line, row, len(header))
