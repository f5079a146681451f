"""Files as lines of bytes: plain or gzip by their content, from the disk or from standard input."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_LINE = 1_000_000
"""Bytes of a line that are looked at. A record of more would not get past a broker's default limit."""

STDIN = Path("-")
_GZIP = b"\x1f\x8b"
_BUFFER = 1 << 18


class InputError(Exception):
    """The file cannot be read, or not to its end, or holds no transactions; the message says why."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file that is open for reading."""

    size: int | None
    """Bytes on the disk; None for what has no size, such as a pipe."""
    _raw: io.FileIO
    _stream: BinaryIO

    @property
    def waits(self) -> bool:
        """Whether reading may wait for whoever writes the other end."""
        return self.size is None

    def position(self) -> int:
        """How many of the `size` bytes have been read."""
        return self._raw.tell()

    def lines(self) -> Iterator[bytes]:
        """The lines with their ends. Of a line that is longer only the first MAX_LINE bytes.

        Raises:
            InputError: the file is damaged.
        """
        number = 0
        try:
            while line := self._stream.readline(MAX_LINE):
                number += 1
                yield line
                if is_cut(line):
                    self._skip_line()
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot be read after line {number}: {error}") from error

    def _skip_line(self) -> None:
        while (rest := self._stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass


@contextmanager
def open_input(path: Path) -> Iterator[Input]:
    """Open a file; `-` is standard input.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        raw = io.FileIO(0, closefd=False) if path == STDIN else io.FileIO(path)
    except OSError as error:
        raise InputError(error.strerror) from error
    # Not closed with the reader: a thread may still wait in a read of standard input.
    with closing(raw):
        yield _input(raw)


def is_cut(line: bytes) -> bool:
    """Whether this is only the beginning of a line that is too long."""
    return len(line) >= MAX_LINE and not line.endswith(b"\n")


def _input(raw: io.FileIO) -> Input:
    buffered = io.BufferedReader(raw, _BUFFER)
    try:
        zipped = buffered.peek(len(_GZIP)).startswith(_GZIP)
    except OSError as error:
        raise InputError(error.strerror) from error
    status = os.fstat(raw.fileno())
    return Input(
        size=status.st_size if stat.S_ISREG(status.st_mode) else None,
        _raw=raw,
        _stream=io.BufferedReader(gzip.GzipFile(fileobj=buffered), _BUFFER) if zipped else buffered,
    )
