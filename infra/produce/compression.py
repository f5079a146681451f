"""Packed files, by their content whatever their name: unpacked in bounded memory as they are read."""

import bz2
import gzip
import io
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "BUFFER",
    "DAMAGE",
    "PACKED",
    "ZIP",
    "ByteStream",
    "PartError",
    "buffered",
    "chosen_part",
    "unpacked",
    "zip_member",
    "zstd",
]

BUFFER: Final = 1 << 18
DAMAGE: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError, zipfile.BadZipFile)
"""What reading ends with where a packed file is damaged."""
ZIP: Final = b"PK\x03\x04"
_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
PACKED: Final = (ZIP, _GZIP, _XZ, _ZSTD)
_MEMORY: Final = 128 << 20  # what --ultra and -9e need; a made-up file could ask for gigabytes
_WINDOW_LOG: Final = 27  # the same 128 MB
_BZ2 = re.compile(rb"BZh[1-9]1AY&SY")
_HIDDEN = re.compile(r"__MACOSX/|(?:.*/)?\.[^/]*$")


class PartError(Exception):
    """A file has several parts, or not the one that was named; the message says which it has."""


class ByteStream(io.RawIOBase):
    """What an iterator gives, as a stream."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed has any buffer
        """Fill the buffer with what is left of a piece, or with the next."""
        while not self._left and (piece := next(self._pieces, None)) is not None:
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def buffered(pieces: Iterable[bytes]) -> io.BufferedReader:
    """What an iterator gives, to be read by lines."""
    return io.BufferedReader(ByteStream(pieces), BUFFER)


def unpacked(stream: io.BufferedReader) -> io.BufferedReader:
    """The content of a stream that is packed by gzip, bzip2, xz or zstd; otherwise the stream."""
    head = stream.peek(16)
    if head.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), BUFFER)
    if _BZ2.match(head):
        return io.BufferedReader(bz2.BZ2File(stream), BUFFER)
    if head.startswith(_XZ):
        return buffered(_xz(stream))
    if head.startswith(_ZSTD):
        options = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG}
        return io.BufferedReader(zstd.ZstdFile(stream, options=options), BUFFER)
    return stream


def _xz(stream: io.BufferedReader) -> Iterator[bytes]:
    """The content of xz streams one after the other; Python's own LZMAFile bounds no memory."""
    decoder, data = lzma.LZMADecompressor(memlimit=_MEMORY), stream.read1(BUFFER)
    while True:
        yield decoder.decompress(data, BUFFER)
        if decoder.eof:
            data = (decoder.unused_data.lstrip(b"\0") or stream.read1(BUFFER)).lstrip(b"\0")
            if not data:
                return
            decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
        elif not decoder.needs_input:
            data = b""
        elif not (data := stream.read1(BUFFER)):
            raise EOFError("its end is missing")


def zip_member(raw: BinaryIO, name: str | None) -> io.BufferedReader:
    """The content of a zip's only member, or of the one of this name.

    Raises:
        PartError: There are several, and none is named, or not this one.
        zipfile.BadZipFile: It is damaged.
    """
    archive = zipfile.ZipFile(raw)
    members = [one.filename for one in archive.infolist() if not one.is_dir()]
    chosen = chosen_part("file", [one for one in members if not _HIDDEN.match(one)], name)
    try:
        return io.BufferedReader(cast("io.RawIOBase", archive.open(chosen)), BUFFER)
    except (RuntimeError, NotImplementedError) as error:  # a password, or a rare compression
        raise PartError(str(error)) from None


def chosen_part(kind: str, names: list[str], name: str | None) -> str:
    """The only one of these names, or the given one.

    Raises:
        PartError: It cannot be told, or is not there.
    """
    if name in names:
        return str(name)
    if name is None and len(names) == 1:
        return names[0]
    shown = ", ".join(names[:20]) + ", ..." * (len(names) > 20)  # noqa: PLR2004 - as many as can be read
    told = f"no {kind} {name}" if name else f"{len(names)} {kind}s"
    way = f": say which with --part, of {shown}" if names else ""
    raise PartError(f"it has {told}{way}")
