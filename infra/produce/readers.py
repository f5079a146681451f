"""CSV and JSON lines as records: each row is what our own decoder takes, or it is rejected."""

import csv
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from infra.produce.columns import REQUIRED, Columns
from infra.produce.files import MAX_LINE, InputError, is_cut
from infra.produce.records import Item, Record, Rejected, Source
from schemas import strict_json
from schemas.transaction import Decoder, Refused

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"
_SHOWN_COLUMNS = 300
_TXN_DATE = REQUIRED.index("txn_date")
_NO_OFFSET = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]+)?")


class _Message(msgspec.Struct, gc=False):
    id: str
    user_id: str
    amount: str
    currency: str
    txn_date: str
    status: str
    meta_data: Raw | UnsetType = UNSET


class _UserId(msgspec.Struct):
    user_id: str


_ENCODE = msgspec.json.Encoder().encode
_TEXT = msgspec.json.Decoder(str).decode
_USER_ID = msgspec.json.Decoder(_UserId).decode
_META_DATA = msgspec.json.Decoder(dict[str, Any] | None).decode


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns lines into records.

    Args:
        columns: which column is which field.
        defaults: values of fields that a row lacks.
        assume_utc: read a date without an offset as UTC, rather than reject it.
        decoder: the judge of every row.
        now_ms: milliseconds since 1970.
    """

    columns: Columns = field(default_factory=Columns)
    defaults: Mapping[str, str] = field(default_factory=dict)
    assume_utc: bool = False
    decoder: Decoder = field(default_factory=Decoder)
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def read(self, lines: Iterable[bytes]) -> Source:
        """The records of a file of either kind, told apart by its first character.

        Raises:
            InputError: the file is of neither kind, or has no column for some field.
        """
        begin, lines = _first_line(lines)
        if begin.startswith(b"["):
            raise InputError("a JSON array, not one object a line: turn it into lines with jq -c '.[]'")
        if begin.startswith(b"{"):
            return self._json_lines(lines)
        return self._csv(begin, lines) if begin else iter(())

    def _csv(self, begin: bytes, lines: Iterable[bytes]) -> Source:
        rows = csv.reader(_texts(lines), delimiter=_delimiter(begin))
        header = _header(rows)
        make = self._row_maker(header)
        for line, row in _numbered(rows):
            if isinstance(row, csv.Error):
                yield Rejected(line, "csv", str(row))
            elif len(row) == len(header):
                yield make(line, row)
            elif not _is_blank(row):
                yield Rejected(line, "csv", f"{len(row)} columns, but the header has {len(header)}")

    def _row_maker(self, header: list[str]) -> Callable[[int, list[str]], Item]:
        """A function of a row and its line."""
        picked = self.columns.pick(tuple(header))
        self._check(header, picked)
        places = [(header.index(picked[name]) if name in picked else None) for name in REQUIRED]
        cells = [(place, self.defaults.get(name, "")) for place, name in zip(places, REQUIRED, strict=True)]
        meta = header.index(picked["meta_data"]) if "meta_data" in picked else None

        def make(line: int, row: list[str]) -> Item:
            values = [default if place is None else row[place].strip() or default for place, default in cells]
            if self.assume_utc:
                values[_TXN_DATE] = _with_offset(values[_TXN_DATE])
            txn_id, user_id, amount, currency, txn_date, status = values
            try:
                meta_data = UNSET if meta is None else _meta_data(row[meta])
                value = _ENCODE(
                    _Message(txn_id, user_id.lower(), amount, currency, txn_date, status, meta_data)
                )
            except UnicodeEncodeError:
                return Rejected(line, "json", "not UTF-8")
            except msgspec.DecodeError as error:
                return Rejected(line, "meta_data", str(error))
            return self._judged(line, user_id.lower().encode(), value)

        return make

    def _check(self, header: list[str], picked: Mapping[str, str]) -> None:
        shown = _printable(", ".join(header)[:_SHOWN_COLUMNS])
        if absent := self.columns.absent(header):
            raise InputError(f"no column {', '.join(absent)}; there are: {shown}")
        lacking = [name for name in REQUIRED if name not in picked and name not in self.defaults]
        if lacking:
            raise InputError(
                f"no column for {', '.join(lacking)}; there are: {shown}. "
                "Name columns with --map field=column; --currency and --status fill in for absent ones"
            )

    def _json_lines(self, lines: Iterable[bytes]) -> Source:
        for number, line in enumerate(lines, start=1):
            if is_cut(line):
                yield Rejected(number, "size", f"more than {MAX_LINE} bytes")
            elif not line.isspace():
                yield self._json_line(number, line)

    def _json_line(self, number: int, line: bytes) -> Item:
        try:
            found = strict_json.fields(line)
        except strict_json.NotJsonError as error:
            return Rejected(number, "json", str(error))
        except strict_json.NotTextError as error:
            return Rejected(number, "text", str(error))
        fields = {name: found[column] for name, column in self.columns.pick(tuple(found)).items()}
        for name, default in self.defaults.items():
            if name not in fields or bytes(fields[name]) in (b"null", b'""'):
                fields[name] = Raw(_ENCODE(default))
        if self.assume_utc and (date := _text(fields.get("txn_date"))) is not None:
            fields["txn_date"] = Raw(_ENCODE(_with_offset(date)))
        user_id = _text(fields.get("user_id"))
        return self._judged(number, None if user_id is None else user_id.lower().encode(), _ENCODE(fields))

    def _judged(self, line: int, key: bytes | None, value: bytes) -> Item:
        try:
            self.decoder.decode(value, key, self.now_ms())
        except Refused as refused:
            return Rejected(line, refused.reason, refused.detail)
        return Record(key, value)


def read_untouched(lines: Iterable[bytes]) -> Source:
    """Each line but for its end as a record, whatever it is; its `user_id`, if it can be read, is the key."""
    for number, line in enumerate(lines, start=1):
        if is_cut(line):
            yield Rejected(number, "size", f"more than {MAX_LINE} bytes, which no broker takes by default")
        else:
            value = line.removesuffix(b"\n").removesuffix(b"\r")
            yield Record(_user_id(value), value)


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


def _meta_data(cell: str) -> Raw | UnsetType:
    # Looked at before it is put into a message, where it could pose as other fields.
    if not cell or cell.isspace():
        return UNSET
    _META_DATA(cell)
    return Raw(cell.encode())


def _with_offset(date: str) -> str:
    return f"{date}Z" if _NO_OFFSET.fullmatch(date) else date


def _first_line(lines: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first line that is not blank, and all lines from the first on, without a byte order mark."""
    left = iter(lines)
    seen = [next(left, b"").removeprefix(_BOM)]
    while seen[-1].isspace():
        seen.append(next(left, b""))
    return seen[-1].lstrip(), chain(seen, left)


def _delimiter(header: bytes) -> str:
    return max(_DELIMITERS, key=lambda delimiter: header.count(delimiter.encode()))


def _header(rows: Any) -> list[str]:
    try:
        return [name.strip() for name in next((row for row in rows if not _is_blank(row)), [])]
    except csv.Error as error:
        raise InputError(f"neither CSV nor JSON lines: {error}") from error


def _is_blank(row: list[str]) -> bool:
    return not any(map(str.strip, row))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        if is_cut(line):
            raise InputError(f"a line of more than {MAX_LINE} bytes: neither CSV nor JSON lines")
        # Bytes that are not UTF-8 get through to the row, which is then rejected by its line.
        yield line.decode(errors="surrogateescape")


def _numbered(rows: Any) -> Iterator[tuple[int, Any]]:
    """Each row, or the error in its place, with its first line."""
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except csv.Error as error:
            yield line, error
        except StopIteration:
            return
        else:
            yield line, row
