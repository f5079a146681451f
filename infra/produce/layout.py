"""What stands in a text file around its rows: its encoding, and lines before the header."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

IsHeader: TypeAlias = Callable[[Sequence[str]], bool]
"""Whether these are the names of columns that are looked for."""

UTF8: Final = "utf-8"
_CHUNK = 1 << 16
_DELIMITERS = ",;\t|"
_PREAMBLE_LINES = 50
# UTF-32 begins as UTF-16 does, so it comes first.
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEPARATOR = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=[^\r\n]?"?\s*$', re.IGNORECASE)


def encoding_of(head: bytes, told: str | None) -> str:
    """The encoding of a text that begins so: what the user says, or a byte order mark; else UTF-8."""
    return told or next((name for mark, name in _MARKS.items() if head.startswith(mark)), UTF8)


def recoded(stream: io.BufferedReader, encoding: str) -> Iterator[bytes]:
    """The text as UTF-8.

    Raises:
        UnicodeError: It has another encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    while chunk := stream.read1(_CHUNK):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def lines_before_header(head: bytes, is_header: IsHeader, delimiter: str = "") -> int:
    """How many lines of a file that begins so come before the header.

    That is the first line with the columns that are looked for; where none has them, the first line, or the
    next after one that tells spreadsheets the delimiter.
    """
    lines = head.splitlines(keepends=True)[:_PREAMBLE_LINES]
    told = bool(lines and _SEPARATOR.match(lines[0]))
    fitting = (at for at, line in enumerate(lines) if is_header(_cells(line, delimiter)))
    return next(fitting, int(told))


def delimiter_of(begin: bytes) -> str:
    """The one of which the first line has most."""
    return max(_DELIMITERS, key=lambda delimiter: begin.count(delimiter.encode()))


def each_once(names: Sequence[str]) -> list[str]:
    """The names, where a column has that of one before it with a number: either can be meant.

    >>> each_once(["amount", "amount", "", ""])
    ['amount', 'amount (2)', '', '']
    """
    seen, found, taken = Counter[str](), list[str](), {*names}
    for name in names:
        own = name
        while name and seen[name] and own in taken:
            seen[name] += 1
            own = f"{name} ({seen[name]})"
        seen[name] = seen[name] or 1
        taken.add(own)
        found.append(own)
    return found


def _cells(line: bytes, delimiter: str) -> list[str]:
    text = line.decode("utf-8-sig", errors="replace").strip("\r\n")
    try:
        return [
            cell.strip() for cell in next(csv.reader([text], delimiter=delimiter or delimiter_of(line)), [])
        ]
    except csv.Error:
        return []


def with_line_feeds(stream: io.BufferedReader) -> Iterator[bytes]:
    """A text whose lines end with carriage returns alone, as Excel's "CSV (Macintosh)", with line feeds."""
    while chunk := stream.read1(_CHUNK):
        yield chunk.replace(b"\r", b"\n")


def without_lines(stream: io.BufferedReader, count: int) -> Iterator[bytes]:
    """The text with so many empty lines at its beginning in place of what stands there."""
    for _ in range(count):
        while (line := stream.readline(_CHUNK)) and not line.endswith(b"\n"):
            pass
    yield b"\n" * count
    while chunk := stream.read1(_CHUNK):
        yield chunk
