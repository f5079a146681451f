"""The first records of a file, as a mapping is given them."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.produce.errors import InputError
from infra.produce.files import FileForm, is_cut, open_input
from infra.produce.rows import RowReader
from infra.produce.tables import csv_rows, first_line, fitted, header_of, is_totals, numbered
from schemas.mapping.paths import path_of
from schemas.mapping.values import text_of

MOST: Final = 10_000
"""Records that are looked at."""
_DEEPEST = 5
_OBJECT = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_WORD = re.compile(r"[^\W\d_]+|[0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
Record = dict[str, object]


@dataclass(frozen=True)
class SeenValues:
    """The values of a path, those that are there; `count` is of how many records."""

    path: str
    values: Sequence[object]
    count: int

    @cached_property
    def texts(self) -> list[str]:
        """The values as text."""
        return [text_of(value) for value in self.values]

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The texts, each once."""
        return frozenset(self.texts)

    @cached_property
    def words(self) -> list[str]:
        """The words of its name: `TransactionDT` has transaction and dt."""
        return [word.casefold() for word in _WORD.findall(_CAMEL.sub(" ", self.path))]


def sample_of(path: Path, encoding: str | None = None) -> list[Record]:
    """The first records of a file; its `encoding` is UTF-8 or what its byte order mark says if not said.

    Raises:
        InputError: It cannot be read, or has none.
    """
    with open_input(path, FileForm(encoding, is_header=RowReader().fits)) as opened:
        found = [*islice(records_of(opened.lines()), MOST)]
    if not found:
        raise InputError("there are no records in it")
    return found


def records_of(lines: Iterable[bytes]) -> Iterator[Record]:
    """The rows of a table, or the objects of JSON lines, as records; what cannot be read is left out.

    Raises:
        InputError: It is neither.
    """
    begin, lines = first_line(lines)
    if not begin.startswith(b"{"):
        yield from _of_table(begin, lines)
        return
    for line in lines:
        if not (line.isspace() or is_cut(line)):
            try:
                yield _OBJECT.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue


def _of_table(begin: bytes, lines: Iterable[bytes]) -> Iterator[Record]:
    rows = csv_rows(begin, lines)
    header = header_of(rows)
    for _, row in numbered(rows):
        cells = [] if isinstance(row, csv.Error) else fitted(row, len(header))
        if len(cells) == len(header) and not is_totals(cells):
            yield dict(zip(header, cells, strict=True))


def seen_in(records: Sequence[Record]) -> list[SeenValues]:
    """The paths of all values that are not empty, in their order, but for those in lists."""
    values: dict[str, list[object]] = {}
    for record in records:
        for path, value in _flat(record, "", _DEEPEST):
            found = values.setdefault(path, [])
            if not isinstance(value, list) and text_of(value):
                found.append(value)
    return [SeenValues(path, found, len(records)) for path, found in values.items()]


def _flat(record: Record, before: str, deep: int) -> Iterator[tuple[str, object]]:
    for name, value in record.items():
        if not name or '"' in name:
            continue
        path = before + path_of(name)
        if isinstance(value, dict) and deep:
            yield from _flat(value, f"{path}.", deep - 1)
        elif not isinstance(value, dict):
            yield path, value
