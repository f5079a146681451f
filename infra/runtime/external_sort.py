"""Sorting in bounded memory: what exceeds it waits in a temporary file."""

import heapq
import mmap
import tempfile
from collections.abc import Callable, Iterator
from operator import itemgetter
from struct import Struct
from typing import Any, Generic, Self, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

_MEMORY_BYTES = 64 << 20
_ITEM_BYTES = 200  # beside an item's encoded bytes
_LENGTH = Struct("<I")


class ExternalSort(Generic[S]):
    """Takes items of one kind, and gives them back by their keys; equal ones in the order in which they came.

    A context manager: at its end the temporary file, in the folder that `TMPDIR` names, is gone.

    >>> Named = msgspec.defstruct("Named", [("name", str)])
    >>> with ExternalSort(Named, lambda one: one.name, memory_bytes=0) as names:
    ...     names.add(Named("b"))
    ...     names.add(Named("a"))
    ...     [one.name for one in names]
    ['a', 'b']
    """

    def __init__(self, kind: type[S], key: Callable[[S], Any], memory_bytes: int = _MEMORY_BYTES) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._key = key
        self._most = memory_bytes
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at this context's end
        self._bytes = 0
        self._items: list[tuple[Any, bytes]] = []
        self._runs: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def add(self, item: S) -> None:
        """Take an item.

        Raises:
            OSError: The temporary file cannot be written.
        """
        data = self._encode(item)
        self._items.append((self._key(item), data))
        self._bytes += len(data) + _ITEM_BYTES
        if self._bytes > self._most:
            self._write()

    def __iter__(self) -> Iterator[S]:
        """All items that were taken, sorted; called once."""
        self._items.sort(key=itemgetter(0))
        rest = ((key, self._decode(data)) for key, data in self._items)
        if not self._runs:
            yield from map(itemgetter(1), rest)
            return
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as written:
            runs = [self._read(written, *run) for run in self._runs]
            yield from map(itemgetter(1), heapq.merge(*runs, rest, key=itemgetter(0)))

    def _write(self) -> None:
        """Write what is in memory as a sorted run."""
        self._items.sort(key=itemgetter(0))
        start = self._file.tell()
        for _, data in self._items:
            self._file.write(_LENGTH.pack(len(data)) + data)
        self._runs.append((start, self._file.tell()))
        self._items, self._bytes = [], 0

    def _read(self, written: mmap.mmap, at: int, end: int) -> Iterator[tuple[Any, S]]:
        while at < end:
            (length,) = _LENGTH.unpack_from(written, at)
            at += _LENGTH.size
            item = self._decode(written[at : at + length])
            at += length
            yield self._key(item), item
