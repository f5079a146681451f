"""Lines of bytes of a file, plain or gzip as its content shows, on the disk or from standard input."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

MAX_LINE = 1_000_000
"""Bytes of a line that are read. A larger record would exceed a broker's default limit."""

STDIN = Path("-")
_GZIP = b"\x1f\x8b"
_BUFFER = 1 << 18


class InputError(Exception):
    """The file cannot be read to its end, or holds no transactions; the message says why."""


class DamagedInputError(InputError):
    """What follows cannot be read."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file that is open for reading."""

    path: Path
    _size: int | None
    _raw: io.FileIO
    _stream: BinaryIO

    @property
    def waits(self) -> bool:
        """Whether it has no size, as a pipe, so that reading may wait for the other end's writer."""
        return self._size is None

    def fraction(self) -> float | None:
        """How much has been read, from 0 to 1; None where there is no size."""
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
        except (OSError, EOFError, zlib.error) as error:
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
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedInputError(f"cannot be read after line {number}: {error}") from error


@contextmanager
def open_input(path: Path) -> Iterator[Input]:
    """Open a file; `-` is standard input.

    Raises:
        InputError: It cannot be opened.
    """
    try:
        raw = io.FileIO(0, closefd=False) if path == STDIN else io.FileIO(path)
    except OSError as error:
        raise InputError(error.strerror) from error
    # The buffered reader is not closed: a thread may still wait in a read of standard input.
    with closing(raw):
        yield _input(path, raw)


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


def _input(path: Path, raw: io.FileIO) -> Input:
    buffered = io.BufferedReader(raw, _BUFFER)
    try:
        zipped = buffered.peek(len(_GZIP)).startswith(_GZIP)
    except OSError as error:
        raise InputError(error.strerror) from error
    status = os.fstat(raw.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    stream = io.BufferedReader(gzip.GzipFile(fileobj=buffered), _BUFFER) if zipped else buffered
    return Input(path, size, raw, stream)
