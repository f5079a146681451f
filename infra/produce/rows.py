"""Rows of CSV files and JSON lines as Kafka records: each is what our own decoder accepts, or is rejected."""

import csv
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from infra.produce.files import MAX_LINE, InputError, is_cut
from schemas import strict_json
from schemas.transaction import Decoder, Refused

# The field's own name comes first: of several columns that fit, the one that is named earliest is taken.
_SYNONYMS: dict[str, list[str]] = json.loads(Path(__file__).with_name("columns.json").read_text())
FIELDS = tuple(_SYNONYMS)
_REQUIRED = FIELDS[:-1]

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"
_SHOWN_COLUMNS = 300
_NO_OFFSET = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]+)?")


class ProducerRecord(msgspec.Struct, frozen=True, gc=False):
    """A Kafka record's key and value."""

    key: bytes | None
    value: bytes


class RejectedRow(msgspec.Struct, frozen=True, gc=False):
    """A row that is not sent: its first line in the file, counted from 1, and why."""

    line: int
    reason: str
    """A reason of the decoder, or `csv`."""
    detail: str


Item: TypeAlias = ProducerRecord | RejectedRow
Source: TypeAlias = Iterator[Item]


class _UserId(msgspec.Struct):
    user_id: str


_ENCODE = msgspec.json.Encoder().encode
_TEXT = msgspec.json.Decoder(str).decode
_USER_ID = msgspec.json.Decoder(_UserId).decode
_META_DATA = msgspec.json.Decoder(dict[str, Any] | None).decode


class Columns:
    """Finds a transaction's fields among the names of columns.

    Case and punctuation do not matter: `Transaction ID`, `transaction_id` and `transactionId` are the same.

    >>> columns = Columns({"txn_date": "Booked"})
    >>> columns.pick(("TransactionID", "Customer ID", "amt", "Booked", "date", "label"))
    {'id': 'TransactionID', 'user_id': 'Customer ID', 'amount': 'amt', 'txn_date': 'Booked'}
    """

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        """Prefer the columns chosen by the user, which have to be named exactly, to all others."""
        self._chosen = dict(chosen or {})
        # The lines of a file nearly always have the same names in the same order.
        self.pick = lru_cache(maxsize=256)(self._pick)

    def absent(self, names: Iterable[str]) -> list[str]:
        """The columns that the user chose but that are not there."""
        return sorted(set(self._chosen.values()) - set(names))

    def _pick(self, names: tuple[str, ...]) -> dict[str, str]:
        """Map each field that has a column to the column's name."""
        plain = {_plain(name): name for name in reversed(names)}
        found = {field: self._name(field, names, plain) for field in FIELDS}
        return {field: name for field, name in found.items() if name is not None}

    def _name(self, field: str, names: tuple[str, ...], plain: Mapping[str, str]) -> str | None:
        if field in self._chosen or field in names:
            own = self._chosen.get(field, field)
            return own if own in names else None
        fitting = (plain[key] for synonym in _SYNONYMS[field] if (key := _plain(synonym)) in plain)
        return next((name for name in fitting if name not in self._chosen.values()), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


@dataclass(frozen=True, slots=True)
class RowReader:
    """Turns lines into records; the decoder decides which are sent.

    `defaults` fill in for fields that a row lacks; with `assume_utc` a date without an offset is read as UTC.
    """

    columns: Columns = field(default_factory=Columns)
    defaults: Mapping[str, str] = field(default_factory=dict)
    assume_utc: bool = False
    decoder: Decoder = field(default_factory=Decoder)
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def read(self, lines: Iterable[bytes]) -> Source:
        """The records of a file of either kind, which its first character decides.

        Raises:
            InputError: The file is of neither kind, or has no column for some field.
        """
        begin, lines = _first_line(lines)
        if begin.startswith(b"["):
            raise InputError("a JSON array, not one object a line: turn it into lines with jq -c '.[]'")
        if begin.startswith(b"{"):
            return self._json_lines(lines)
        return self._csv(begin, lines) if begin else iter(())

    def _csv(self, begin: bytes, lines: Iterable[bytes]) -> Source:
        delimiter = max(_DELIMITERS, key=lambda delimiter: begin.count(delimiter.encode()))
        rows = csv.reader(_texts(lines), delimiter=delimiter)
        header = _header(rows)
        places = self._places(header)
        for line, row in _numbered(rows):
            if isinstance(row, csv.Error):
                yield RejectedRow(line, "csv", str(row))
            elif len(row) == len(header):
                yield self._csv_row(line, row, places)
            elif not _is_blank(row):
                yield RejectedRow(line, "csv", f"{len(row)} columns, but the header has {len(header)}")

    def _places(self, header: list[str]) -> dict[str, int]:
        """Map each field that has a column to the column's index."""
        picked = self.columns.pick(tuple(header))
        names = ", ".join(header)[:_SHOWN_COLUMNS]
        shown = "".join(character if character.isprintable() else "?" for character in names)
        if absent := self.columns.absent(header):
            raise InputError(f"no column {', '.join(absent)}; there are: {shown}")
        lacking = [name for name in _REQUIRED if name not in picked and name not in self.defaults]
        if lacking:
            raise InputError(
                f"no column for {', '.join(lacking)}; there are: {shown}. "
                "Name columns with --map field=column; --currency and --status fill in for absent ones"
            )
        return {name: header.index(column) for name, column in picked.items()}

    def _csv_row(self, line: int, row: list[str], places: Mapping[str, int]) -> Item:
        fields: dict[str, Any] = {name: row[place].strip() for name, place in places.items()}
        for name, default in self.defaults.items():
            fields[name] = fields.get(name) or default
        if self.assume_utc:
            fields["txn_date"] = _with_offset(fields["txn_date"])
        user_id = fields["user_id"] = fields["user_id"].lower()
        try:
            if meta_data := fields.pop("meta_data", ""):
                _META_DATA(
                    meta_data
                )  # checked before it is embedded: `{},"amount":"1"` would set another field
                fields["meta_data"] = Raw(meta_data.encode())
            value = _ENCODE(fields)
        except UnicodeEncodeError:
            return RejectedRow(line, "json", "not UTF-8")
        except msgspec.DecodeError as error:
            return RejectedRow(line, "meta_data", str(error))
        return self._checked(line, user_id.encode(), value)

    def _json_lines(self, lines: Iterable[bytes]) -> Source:
        for number, line in enumerate(lines, start=1):
            if is_cut(line):
                yield RejectedRow(number, "size", f"more than {MAX_LINE} bytes")
            elif not line.isspace():
                yield self._json_line(number, line)

    def _json_line(self, number: int, line: bytes) -> Item:
        try:
            found = strict_json.fields(line)
        except strict_json.NotJsonError as error:
            return RejectedRow(number, "json", str(error))
        except strict_json.NotTextError as error:
            return RejectedRow(number, "text", str(error))
        fields = {name: found[column] for name, column in self.columns.pick(tuple(found)).items()}
        for name, default in self.defaults.items():
            if name not in fields or bytes(fields[name]) in (b"null", b'""'):
                fields[name] = Raw(_ENCODE(default))
        if self.assume_utc and (date := _text(fields.get("txn_date"))) is not None:
            fields["txn_date"] = Raw(_ENCODE(_with_offset(date)))
        user_id = _text(fields.get("user_id"))
        return self._checked(number, None if user_id is None else user_id.lower().encode(), _ENCODE(fields))

    def _checked(self, line: int, key: bytes | None, value: bytes) -> Item:
        try:
            self.decoder.decode(value, key, self.now_ms())
        except Refused as refused:
            return RejectedRow(line, refused.reason, refused.detail)
        return ProducerRecord(key, value)


def read_unchanged(lines: Iterable[bytes]) -> Source:
    """Each line without its end as a record, valid or not; its `user_id`, if it can be read, is the key."""
    for number, line in enumerate(lines, start=1):
        if is_cut(line):
            yield RejectedRow(number, "size", f"more than {MAX_LINE} bytes, which no broker takes by default")
        else:
            value = line.removesuffix(b"\n").removesuffix(b"\r")
            yield ProducerRecord(_user_id(value), value)


def _user_id(value: bytes) -> bytes | None:
    try:
        return _USER_ID(value).user_id.encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _text(raw: Raw | None) -> str | None:
    try:
        return None if raw is None else _TEXT(raw)
    except msgspec.DecodeError:
        return None


def _with_offset(date: str) -> str:
    return f"{date}Z" if _NO_OFFSET.fullmatch(date) else date


def _first_line(lines: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first line that is not blank, and all lines from the first on, without a byte order mark."""
    left = iter(lines)
    seen = [next(left, b"").removeprefix(_BOM)]
    while seen[-1].isspace():
        seen.append(next(left, b""))
    return seen[-1].lstrip(), chain(seen, left)


def _header(rows: Any) -> list[str]:
    try:
        return [name.strip() for name in next((row for row in rows if not _is_blank(row)), [])]
    except csv.Error as error:
        raise InputError(f"neither CSV nor JSON lines: {error}") from error


def _is_blank(row: list[str]) -> bool:
    return not any(map(str.strip, row))


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        if is_cut(line):
            raise InputError(f"a line of more than {MAX_LINE} bytes: neither CSV nor JSON lines")
        # Bytes that are not UTF-8 become surrogates, so that only the row that holds them is rejected.
        yield line.decode(errors="surrogateescape")


def _numbered(rows: Any) -> Iterator[tuple[int, Any]]:
    """Each row, or the error in its place, with its first line."""
    while True:
        line = rows.line_num + 1
        try:
            yield line, next(rows)
        except csv.Error as error:
            yield line, error
        except StopIteration:
            return
