"""The rows of CSV files, each with its line; what cannot be read is kept in its place."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from infra.produce.files import MAX_LINE, InputError, is_cut

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"


def first_line(lines: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first line that is not blank, and all lines from the first on, without a byte order mark."""
    left = iter(lines)
    seen = [next(left, b"").removeprefix(_BOM)]
    while seen[-1].isspace():
        seen.append(next(left, b""))
    return seen[-1].lstrip(), chain(seen, left)


def csv_rows(begin: bytes, lines: Iterable[bytes]) -> Any:
    """The rows, split at the delimiter that the first line has most of."""
    return csv.reader(_texts(lines), delimiter=delimiter_of(begin))


def delimiter_of(begin: bytes) -> str:
    """The one of which the first line has most."""
    return max(_DELIMITERS, key=lambda delimiter: begin.count(delimiter.encode()))


def header_of(rows: Any) -> list[str]:
    """The names of the columns, from the first row that is not blank."""
    try:
        return [name.strip() for name in next((row for row in rows if not is_blank(row)), [])]
    except csv.Error as error:
        raise InputError(f"neither CSV nor JSON lines: {error}") from error


def is_blank(row: list[str]) -> bool:
    """Whether no cell holds anything."""
    return not any(map(str.strip, row))


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
            yield line, error
        except StopIteration:
            return
