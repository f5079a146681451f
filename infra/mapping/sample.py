"""The first records of a file, as a mapping is given them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from infra.produce.errors import InputError
from infra.produce.files import FileForm, checked_utf8, open_input
from infra.produce.options import Reading
from infra.produce.records import Numbered, Record, records_of
from infra.produce.rows import NO_FAULT, RejectedRow
from infra.produce.tables import is_totals
from schemas.mapping.paths import path_of
from schemas.mapping.values import text_of

MOST: Final = 10_000
"""Records that are looked at."""
_DEEPEST = 5
_WORD = re.compile(r"[^\W\d_]+|[0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class FirstRecords(NamedTuple):
    """The first records of a file, and what is said of rows among them that are none; empty: nothing."""

    records: list[Record]
    unread: str = ""


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


def sample_of(path: Path, form: FileForm | None = None) -> FirstRecords:
    """The first records of a file, of this form or as its content shows.

    Raises:
        InputError: It cannot be read, or has none.
    """
    form, unread = form or Reading().form(), _Unread()
    with open_input(path, form) as opened:
        lines = opened.lines() if form.encoding else checked_utf8(opened.lines())
        numbered = records_of(opened, lines, lambda _: None, form.delimiter)
        found = [*islice(unread.without(numbered), MOST)]
    if not found:
        raise InputError(f"there are no records in it{unread.first and f': {unread.first}'}")
    return FirstRecords(found, unread.said())


@dataclass
class _Unread:
    """Rows that are no records."""

    count: int = 0
    first: str = ""

    def without(self, numbered: Iterable[Numbered]) -> Iterator[Record]:
        """The records, without those of totals."""
        for _, record in numbered:
            if isinstance(record, RejectedRow):
                self._take(record)
            elif not is_totals(map(_text, record.values())):
                yield record

    def said(self) -> str:
        """What a person is told of them; empty: there are none."""
        return f"{self.count:,} rows cannot be read: {self.first}" if self.count else ""

    def _take(self, row: RejectedRow) -> None:
        if row.reason not in NO_FAULT:
            self.first = self.first or f"line {row.line}: {row.detail}"
            self.count += 1


def _text(value: object) -> str:
    """A value if it is text."""
    return value if isinstance(value, str) else ""


def seen_in(records: Sequence[Record]) -> list[SeenValues]:
    """The paths of all values that are not empty, in their order, but for those in lists."""
    values: dict[str, list[object]] = {}
    for record in records:
        for path, value in _flat(record, "", _DEEPEST):
            found = values.setdefault(path, [])
            with suppress(ValueError):  # no text
                if text_of(value):
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


def beside(path: str, name: str, columns: Sequence[SeenValues], notes: list[str]) -> SeenValues | None:
    """What stands beside the fields of a topic's records, for a field of which they have none themselves."""
    seen = next((one for one in columns if one.path == path and len(one.values) == one.count), None)
    if seen is not None:
        notes.append(f"{name}: {path} of the topic's records: their own fields have none")
    return seen
