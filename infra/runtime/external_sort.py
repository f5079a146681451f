"""Sorting in bounded memory: what exceeds it waits in a temporary file."""

import heapq
import os
import tempfile
from collections.abc import Callable, Iterator
from operator import itemgetter
from struct import Struct
from typing import Any, Generic, Self, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

_MEMORY_BYTES = 64 << 20
_READ_BYTES = 1 << 16  # of each run at a time
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
        runs = [self._read(*run) for run in self._runs]
        yield from map(itemgetter(1), heapq.merge(*runs, rest, key=itemgetter(0)))

    def _write(self) -> None:
        """Write what is in memory as a sorted run."""
        self._items.sort(key=itemgetter(0))
        start = self._file.tell()
        for _, data in self._items:
            self._file.write(_LENGTH.pack(len(data)) + data)
        self._runs.append((start, self._file.tell()))
        self._items, self._bytes = [], 0

    def _read(self, at: int, end: int) -> Iterator[tuple[Any, S]]:
        # Not mapped into memory: a large file's pages would count as this process' own.
        rest = memoryview(b"")
        while rest or at < end:
            size = _LENGTH.size + (_LENGTH.unpack_from(rest)[0] if len(rest) >= _LENGTH.size else 1)
            if len(rest) < size:
                piece = os.pread(self._file.fileno(), min(_READ_BYTES, end - at), at)
                rest, at = memoryview(bytes(rest) + piece), at + len(piece)
                continue
            item = self._decode(rest[_LENGTH.size : size])
            rest = rest[size:]
            yield self._key(item), item
