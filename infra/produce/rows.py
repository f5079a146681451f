"""Rows of CSV files and JSON lines as Kafka records: each is what our own decoder accepts, or is rejected."""

import csv
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from infra.produce.columns import FIELDS, Columns, described, printable
from infra.produce.dates import date_text
from infra.produce.errors import InputError
from infra.produce.exported import ESCAPED, own_meta_data, own_text
from infra.produce.files import MAX_LINE, is_cut
from infra.produce.recognised import mapping_for
from infra.produce.tables import (
    cells_counted,
    csv_rows,
    first_line,
    fitted,
    header_of,
    is_blank,
    is_totals,
    numbered,
)
from schemas import strict_json
from schemas.checks import OPTIONAL
from schemas.mapping.marks import AmountMarks, UnclearAmountError
from schemas.mapping.values import EMPTY, cell_of
from schemas.refusal import Refused
from schemas.transaction import Decoder

TOTALS: Final = "totals"
LEFT_OUT: Final = "left out"
NO_FAULT: Final = frozenset([TOTALS, LEFT_OUT])
"""The reasons of rows with which nothing is wrong."""
_WAYS = "Name columns with --map field=column; --currency and --status fill in for absent ones"
_REQUIRED, _MAY_LACK = FIELDS[:6], FIELDS[6:]


class ProducerRecord(msgspec.Struct, frozen=True, gc=False):
    """A Kafka record's key and value, and the date of a transaction that was read."""

    key: bytes | None
    value: bytes
    date: datetime | None = None


class RejectedRow(msgspec.Struct, frozen=True, gc=False):
    """A row that is not sent: its first line in the file, counted from 1, and why."""

    line: int
    reason: str
    """A reason of the decoder, `csv`, or one of NO_FAULT."""
    detail: str

    @classmethod
    def of_width(cls, line: int, row: list[str], columns: int) -> "RejectedRow":
        """A row that has not as many cells as the header."""
        rejected = cls(line, "csv", cells_counted(row, columns))
        return rejected.as_totals() if is_totals(row) else rejected

    def as_totals(self) -> "RejectedRow":
        """The same row, which is none of a transaction."""
        return RejectedRow(self.line, TOTALS, "a row of totals")


Item: TypeAlias = ProducerRecord | RejectedRow
Source: TypeAlias = Iterator[Item]


_ENCODE = msgspec.json.Encoder().encode
_EMPTY_JSON = frozenset([b"null", *map(_ENCODE, EMPTY)])
_LONGEST_EMPTY_JSON = max(map(len, _EMPTY_JSON))
_TEXT = msgspec.json.Decoder(str).decode
_RAW_FIELDS = msgspec.json.Decoder(dict[str, Raw]).decode
_META_DATA = msgspec.json.Decoder(dict[str, Any] | None).decode


@dataclass(frozen=True, slots=True)
class RowReader:
    """Turns lines into records; the decoder decides which are sent.

    `defaults` fill in for fields that a row lacks; with `assume_utc` a date without an offset is read as UTC.
    Of an `exported` file the verdicts are left out. `say` is told once which columns are taken and which not.
    """

    columns: Columns = field(default_factory=Columns)
    defaults: Mapping[str, str] = field(default_factory=dict)
    assume_utc: bool = False
    decoder: Decoder = field(default_factory=Decoder)
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    marks: AmountMarks = field(default_factory=AmountMarks)
    exported: bool = False
    say: Callable[[str], None] = lambda _: None

    def read(self, lines: Iterable[bytes]) -> Source:
        """The records of a file of either kind, which its first character decides.

        Raises:
            InputError: The file is of neither kind, has no column for a field, or an amount can be read in
                several ways.
        """
        begin, lines = first_line(lines)
        if begin.startswith(b"{"):
            return self._json_lines(lines)
        return self._csv(begin, lines) if begin else iter(())

    def check_amounts(self, lines: Iterable[bytes]) -> None:
        """Look at all amounts of a file, and at nothing else.

        Raises:
            InputError: The first that can be read in several ways, by its line.
        """
        begin, lines = first_line(lines)
        for line, text in (
            self._json_amounts(lines) if begin.startswith(b"{") else self._csv_amounts(begin, lines)
        ):
            with suppress(ValueError):
                self._amount(line, text)

    def _csv_amounts(self, begin: bytes, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
        rows = csv_rows(begin, lines)
        place = self.columns.pick(tuple(header := header_of(rows))).get("amount")
        index = header.index(place) if place else len(header)
        for line, row in numbered(rows):
            if isinstance(row, list) and len(row) > index:
                yield line, cell_of(row[index])

    def _json_amounts(self, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(lines, start=1):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                found = _RAW_FIELDS(line)
                column = self.columns.pick(tuple(found)).get("amount", "")
                if (text := _text(found.get(column))) is not None:
                    yield number, text

    def _csv(self, begin: bytes, lines: Iterable[bytes]) -> Source:
        rows = csv_rows(begin, lines)
        header = header_of(rows)
        places = self.places(header)
        for line, row in numbered(rows):
            if item := self.csv_item(line, row, len(header), places):
                yield item

    def csv_item(
        self, line: int, row: list[str] | csv.Error, columns: int, places: Mapping[str, int]
    ) -> Item | None:
        """A row of a table with so many columns; None where it is blank.

        Raises:
            InputError: Its amount can be read in several ways.
        """
        if isinstance(row, csv.Error):
            return RejectedRow(line, "csv", str(row))
        if len(row := fitted(row, columns)) == columns:
            item = self._csv_row(line, row, places)
        elif is_blank(row):
            return None
        else:
            return RejectedRow.of_width(line, row, columns)
        return item.as_totals() if isinstance(item, RejectedRow) and is_totals(row) else item

    def fits(self, header: Sequence[str]) -> bool:
        """Whether these are names of columns, and all that are needed."""
        return not (self.columns.absent(header) or self._lacking(self.columns.pick(tuple(header))))

    def _lacking(self, picked: Mapping[str, str]) -> list[str]:
        return [name for name in _REQUIRED if name not in picked and name not in self.defaults]

    def places(self, header: list[str]) -> dict[str, int]:
        """Map each field that has a column to the column's index.

        Raises:
            InputError: A column is absent.
        """
        picked = self.columns.pick(tuple(header))
        shown = printable(", ".join(header))
        if absent := self.columns.absent(header):
            raise InputError(f"no column {', '.join(absent)}; there are: {shown}")
        if lacking := self._lacking(picked):
            ready = mapping_for(header)
            way = f"The layout is known: --mapping {ready} reads it" if ready else _WAYS
            raise InputError(f"no column for {', '.join(lacking)}; there are: {shown}. {way}")
        self._describe(picked, header)
        return {name: header.index(column) for name, column in picked.items()}

    def _describe(self, picked: Mapping[str, str], names: Iterable[str]) -> bool:
        if line := described(picked, names):
            self.say(line)
        return True

    def _csv_row(self, line: int, row: list[str], places: Mapping[str, int]) -> Item:
        cells = {name: cell_of(row[place]) for name, place in places.items()}
        fields: dict[str, Any] = {name: cell for name, cell in cells.items() if cell or name not in OPTIONAL}
        for name, default in self.defaults.items():
            fields[name] = fields.get(name) or default
        try:
            fields["amount"] = self._amount(line, fields["amount"])
            fields["txn_date"] = date_text(fields["txn_date"], assume_utc=self.assume_utc)
            user_id = fields["user_id"] = fields["user_id"].lower()
            if self.exported:
                fields |= {name: own_text(fields[name]) for name in ESCAPED if name in fields}
            if meta_data := fields.pop("meta_data", ""):
                # Checked before it is embedded: `{},"amount":"1"` would set another field.
                fields["meta_data"] = self._meta_data(meta_data)
            value = _ENCODE(fields)
        except UnicodeEncodeError:
            return RejectedRow(line, "json", "not UTF-8")
        except msgspec.DecodeError as error:
            return RejectedRow(line, "meta_data", str(error))
        except ValueError as error:
            return RejectedRow(line, "amount", str(error))
        return self._checked(line, user_id.encode(), value)

    def _amount(self, line: int, text: str) -> str:
        """The amount as a JSON number is written.

        Raises:
            InputError: It can be read in several ways.
            ValueError: It has other marks than those that are named.
        """
        try:
            return self.marks.plain(text)
        except UnclearAmountError as error:
            raise InputError(f"line {line}: {error}") from None

    def _meta_data(self, text: str | Raw) -> Raw:
        """Raises msgspec.DecodeError unless it is an object or null."""
        if self.exported:
            return Raw(own_meta_data(text))
        _META_DATA(text)
        return Raw(text.encode() if isinstance(text, str) else text)

    def _json_lines(self, lines: Iterable[bytes]) -> Source:
        said = False
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            found = json_fields(number, line)
            if isinstance(found, RejectedRow):
                yield found
                continue
            if not said:
                said = self._describe(self.columns.pick(tuple(found)), found)
            yield self.json_item(number, found)

    def json_item(self, line: int, found: Mapping[str, Raw]) -> Item:
        """An object, by its fields as they are in the file.

        Raises:
            InputError: Its amount can be read in several ways.
        """
        picked = self.columns.pick(tuple(found))
        item = self._json_row(line, {name: found[column] for name, column in picked.items()})
        if isinstance(item, RejectedRow) and is_totals(_text(raw) or "" for raw in found.values()):
            return item.as_totals()
        return item

    def _json_row(self, line: int, fields: dict[str, Raw]) -> Item:
        fields = {name: _json_cell(name, raw) for name, raw in fields.items()}
        for name, default in self.defaults.items():
            if bytes(fields.get(name, b'""')) == b'""':
                fields[name] = Raw(_ENCODE(default))
        try:
            if (amount := _text(fields.get("amount"))) is not None:  # else a number, which has a point
                fields["amount"] = Raw(_ENCODE(self._amount(line, amount)))
            if (date := _text(fields.get("txn_date"))) is not None:
                fields["txn_date"] = Raw(_ENCODE(date_text(date, assume_utc=self.assume_utc)))
            if self.exported and "meta_data" in fields:
                fields["meta_data"] = self._meta_data(fields["meta_data"])
        except msgspec.DecodeError as error:
            return RejectedRow(line, "meta_data", str(error))
        except ValueError as error:
            return RejectedRow(line, "amount", str(error))
        user_id = _text(fields.get("user_id"))
        return self._checked(line, None if user_id is None else user_id.lower().encode(), _ENCODE(fields))

    def _checked(self, line: int, key: bytes | None, value: bytes) -> Item:
        try:
            transaction = self.decoder.decode(value, key, self.now_ms())
        except Refused as refused:
            way_out = f"; --map {refused.reason}= leaves it out" if refused.reason in OPTIONAL else ""
            return RejectedRow(line, refused.reason, refused.detail + way_out)
        return ProducerRecord(key, value, transaction.txn_date)


def json_fields(number: int, line: bytes) -> dict[str, Raw] | RejectedRow:
    """The fields of a line, or why it is not a JSON object."""
    if is_cut(line):
        return RejectedRow(number, "size", f"more than {MAX_LINE} bytes")
    try:
        return strict_json.fields(line)
    except strict_json.NotJsonError as error:
        return RejectedRow(number, "json", str(error))
    except strict_json.NotTextError as error:
        return RejectedRow(number, "text", str(error))


def _text(raw: Raw | None) -> str | None:
    try:
        return None if raw is None else _TEXT(raw)
    except msgspec.DecodeError:
        return None


def _json_cell(name: str, raw: Raw) -> Raw:
    """The same of a value in JSON; a number in an optional field becomes a text."""
    if len(raw) <= _LONGEST_EMPTY_JSON and bytes(raw).lower() in _EMPTY_JSON:
        return Raw(b"null" if name in _MAY_LACK else b'""')
    return Raw(b'"%b"' % bytes(raw)) if name in OPTIONAL and bytes(raw)[:1] in b"-0123456789" else raw
