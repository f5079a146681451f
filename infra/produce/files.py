"""Lines of bytes of a file of any kind, as its content shows it, on the disk or from standard input."""

import io
import os
import stat
import zipfile
from codecs import lookup
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from infra.produce.compression import BUFFER, DAMAGE, PACKED, ZIP, PartError, buffered, unpacked, zip_member
from infra.produce.errors import DamagedInputError, InputError
from infra.produce.json_around import array_around, enclosed_lines
from infra.produce.json_values import is_over_lines, object_lines
from infra.produce.layout import (
    UTF8,
    IsHeader,
    encoding_of,
    lines_before_header,
    recoded,
    with_line_feeds,
    without_lines,
)
from infra.produce.parquet import ParquetRows
from infra.produce.workbook import SheetRows, is_workbook

__all__ = ["MAX_LINE", "STDIN", "DamagedInputError", "FileForm", "Input", "InputError", "open_input"]

MAX_LINE = 1_000_000
"""Bytes of a line that are read. A larger record would exceed a broker's default limit."""

STDIN = Path("-")
_PARQUET = b"PAR1"
_BLANK = b"\xef\xbb\xbf \t\r\n"
_OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old workbook (xls): save it as xlsx or CSV",
    b"Obj\x01": "an Avro file: turn it into JSON lines or Parquet",
    b"%PDF": "a PDF",
    b"PK\x05\x06": "a zip with nothing in it",
}
_DAMAGE = (*DAMAGE, UnicodeError)


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a file is read as lines of CSV or JSON in UTF-8, where it is another kind."""

    encoding: str | None = None
    """What the user says; None for what its byte order mark says, and UTF-8 without one."""
    part: str | None = None
    """Which member of a zip, sheet of a workbook, or array of a JSON object, where there are several."""
    is_header: IsHeader = lambda _: False
    """What tells the header from lines before it, by default the first line, and a record from what is
    around records."""
    delimiter: str = ""
    """Between columns; empty: the one that the first line has most of."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file that is open for reading."""

    path: Path
    _size: int | None
    _raw: io.FileIO
    _stream: io.BufferedReader
    notes: list[str] = field(default_factory=list)
    """What a person is to know of how it is read, a line each."""
    typed: ParquetRows | SheetRows | None = None
    """The rows of a file that has more than text."""
    _base: io.BufferedReader | None = None
    """Referred to, as it would close the file once nothing refers to it."""

    @property
    def waits(self) -> bool:
        """Whether it has no size, as a pipe, so that reading may wait for the other end's writer."""
        return self._size is None

    def fraction(self) -> float | None:
        """How much has been read, from 0 to 1; None where there is no size."""
        if self.typed is not None:
            return self.typed.fraction()
        return self._raw.tell() / self._size if self._size else None

    def lines(self) -> Iterator[bytes]:
        """The lines with their ends; of a line that is longer only the first MAX_LINE bytes.

        Raises:
            DamagedInputError: The file cannot be read to its end.
        """
        number = 0
        try:
            while line := self._stream.readline(MAX_LINE):
                number += 1
                yield line
                while is_cut(line):
                    line = self._stream.readline(MAX_LINE)
        except _DAMAGE as error:
            raise DamagedInputError(f"cannot be read after line {number}: {error}") from error

    def blocks(self, size: int) -> Iterator[bytes]:
        """The same lines, whole ones together in about `size` bytes.

        Raises:
            DamagedInputError: The file cannot be read to its end.
        """
        number = 0
        try:
            while block := self._stream.read(size):
                last = b"" if block.endswith(b"\n") else self._stream.readline(MAX_LINE)
                yield block + last
                number += block.count(b"\n") + 1
                while is_cut(last):
                    last = self._stream.readline(MAX_LINE)
        except _DAMAGE as error:
            raise DamagedInputError(f"cannot be read after line {number}: {error}") from error


@contextmanager
def open_input(path: Path, form: FileForm | None = None) -> Iterator[Input]:
    """Open a file, unpacked; `-` is standard input. Without a form its lines are what stands in it.

    Raises:
        InputError: It cannot be opened.
    """
    try:
        raw = io.FileIO(0, closefd=False) if path == STDIN else io.FileIO(path)
    except OSError as error:
        raise InputError(error.strerror) from error
    # The buffered reader is not closed: a thread may still wait in a read of standard input.
    with closing(raw):
        try:
            yield _input(path, raw, form)
        except PartError as error:
            raise InputError(str(error)) from None


def first_lines(lines: Iterator[bytes]) -> tuple[list[bytes], Iterator[bytes]]:
    """The first two lines, and all lines from the first on.

    Of JSON only the first: the second may be long in coming.
    """
    head = list(islice(lines, 1))
    if head and not head[0].lstrip(b"\xef\xbb\xbf").startswith(b"{"):
        head += islice(lines, 1)
    return head, chain(head, lines)


def is_cut(line: bytes) -> bool:
    """Whether this is only the beginning of a line that is too long."""
    return len(line) >= MAX_LINE and not line.endswith(b"\n")


def checked_utf8(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines.

    Raises:
        InputError: One is not UTF-8: with its row alone left out, those of one country would be missing.
    """
    for number, line in enumerate(lines, start=1):
        if not line.isascii() or number == 1:
            _check_utf8(number, line)
        yield line


def _check_utf8(number: int, line: bytes) -> None:
    if number == 1 and b"\0" in line:
        raise InputError(f"line {number} is no text: say --encoding utf-16-le, or utf-16-be, if it is that")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        if not is_cut(line):
            raise InputError(
                f"line {number} is not UTF-8 ({line[error.start : error.start + 1]!r}): say --encoding "
                "latin-1, cp1252 or what it is, or --encoding utf-8 to have such rows rejected"
            ) from None


def _input(path: Path, raw: io.FileIO, form: FileForm | None) -> Input:
    base: io.BufferedReader = io.BufferedReader(raw, BUFFER)
    stream = base
    status, notes = os.fstat(raw.fileno()), list[str]()
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    try:
        head = stream.peek(16)
        if head.startswith((ZIP, _PARQUET)):
            if size is None:
                raise InputError("Parquet, workbooks and zips are read from their end: not from a pipe")
            stream.detach()  # it would close the file once nothing refers to it
            return _of_parts(path, raw, size, form)
        stream = unpacked(stream)
        if form is not None:
            stream = _in_lines(stream, form, notes)
    except _DAMAGE as error:
        raise InputError(
            getattr(error, "strerror", None) or f"cannot be read after line 0: {error}"
        ) from error
    return Input(path, size, raw, stream, notes, None, base)


def _of_parts(path: Path, raw: io.FileIO, size: int, form: FileForm | None) -> Input:
    """A file that is read from its end: Parquet, a workbook, or a zip."""
    raw.seek(0)
    notes = list[str]()
    if raw.read(len(_PARQUET)) == _PARQUET:
        rows = ParquetRows(raw)
        return Input(path, size, raw, buffered(rows.lines()), notes, rows)
    part = form.part if form else None
    with zipfile.ZipFile(raw) as archive:
        holds_sheets = is_workbook(archive)
    if holds_sheets:
        sheet = SheetRows(raw, part, form.is_header if form else lambda _: False)
        notes += _left_out(sheet.before_header, "row")
        return Input(path, size, raw, buffered(sheet.lines()), notes, sheet)
    stream = zip_member(raw, part)
    return Input(path, size, raw, _in_lines(stream, form, notes) if form else stream, notes)


def _in_lines(stream: io.BufferedReader, form: FileForm, notes: list[str]) -> io.BufferedReader:
    """The stream as lines of CSV or JSON, in UTF-8."""
    head = stream.peek(BUFFER)
    if other := next((words for mark, words in _OTHERS.items() if head.startswith(mark)), None):
        raise InputError(other)
    if head.startswith((_PARQUET, *PACKED)):
        raise InputError("packed twice: unpack it first")
    encoding = encoding_of(head, form.encoding)
    if lookup(encoding).name != UTF8:
        stream = buffered(recoded(stream, encoding))
        head = stream.peek(BUFFER)
    if head.count(b"\r") > 1 and b"\n" not in head:
        stream = buffered(with_line_feeds(stream))
        head = stream.peek(BUFFER)
    is_json = head.lstrip(_BLANK).startswith(b"{")
    if is_json and (name := array_around(head, form.part, form.is_header)) is not None:
        notes.append(f"JSON with an array {name}: its objects are counted as lines")
        return buffered(enclosed_lines(stream, MAX_LINE, name, told=form.part is not None))
    if is_over_lines(head):
        notes.append("JSON over several lines: its objects are counted as lines")
        return buffered(object_lines(stream, MAX_LINE))
    if is_json:
        return stream
    if count := lines_before_header(head, form.is_header, form.delimiter):
        notes += _left_out(count, "line")
        return buffered(without_lines(stream, count))
    return stream


def _left_out(count: int, what: str) -> list[str]:
    return [f"left out: {count} {what}{'s' * (count > 1)} before the header"] if count else []
