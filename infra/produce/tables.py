"""The rows of CSV files, each with its line; what cannot be read is kept in its place."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from infra.produce.errors import InputError
from infra.produce.files import MAX_LINE, is_cut
from infra.produce.layout import delimiter_of, each_once

_OPEN_QUOTE = ", and it is of {:,} lines: is a quote not closed?"
_BOM = b"\xef\xbb\xbf"
_TOTALS = re.compile(
    r"(?:(?:sub|grand|gesamt)[- ]?)?(?:total|totals|totale|totali|summe|sum|somme|suma|soma)\b"
    r"|gesamt\b|итого|всего|合計|小計|总计",
    re.IGNORECASE,
)


def first_line(lines: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first line that is not blank, and all lines from the first on, without a byte order mark."""
    left = iter(lines)
    seen = [next(left, b"").removeprefix(_BOM)]
    while seen[-1].isspace():
        seen.append(next(left, b""))
    return seen[-1].lstrip(), chain(seen, left)


def csv_rows(begin: bytes, lines: Iterable[bytes]) -> Any:
    """The rows, split at the delimiter that the first line has most of."""
    return rows_of(lines, delimiter_of(begin))


def rows_of(lines: Iterable[bytes], delimiter: str) -> Any:
    """The rows, split at a delimiter."""
    return csv.reader(_texts(lines), delimiter=delimiter)


def header_of(rows: Any) -> list[str]:
    """The names of the columns, from the first row that is not blank, each once."""
    try:
        found: list[str] = next((row for row in rows if not is_blank(row)), [])
        return each_once(fitted([name.strip() for name in found], 1))
    except csv.Error as error:
        raise InputError(f"neither CSV nor JSON lines: {error}") from error


def fitted(row: list[str], columns: int) -> list[str]:
    """The row without empty cells beyond its columns: some programs end lines with delimiters."""
    while len(row) > columns and not row[-1].strip():
        row = row[:-1]
    return row


def is_totals(cells: Iterable[str]) -> bool:
    """Whether a row begins as one of totals does."""
    return bool(_TOTALS.match(next(filter(None, map(str.strip, cells)), "")))


def is_blank(row: list[str]) -> bool:
    """Whether no cell holds anything."""
    return not any(map(str.strip, row))


def cells_counted(row: list[str], columns: int) -> str:
    """What is wrong with a row of another number of cells than the header has."""
    more = sum(cell.count("\n") for cell in row)
    found = f"{len(row)} columns, but the header has {columns}"
    return f"{found}{_OPEN_QUOTE.format(more + 1)}" if more else found


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        if is_cut(line):
            raise InputError(f"a line of more than {MAX_LINE} bytes: neither CSV nor JSON lines")
        # Bytes that are not UTF-8 become surrogates, so that only the row that holds them is rejected.
        yield line.decode(errors="surrogateescape")


def numbered(rows: Any) -> Iterator[tuple[int, Any]]:
    """Each row, or the error in its place, with its first line."""
    while True:
        line = rows.line_num + 1
        try:
            yield line, next(rows)
        except csv.Error as error:
            more = rows.line_num - line
            yield line, csv.Error(f"{error}{_OPEN_QUOTE.format(more + 1)}") if more else error
        except StopIteration:
            return
