"""Users' windows in RocksDB, one database a partition, read and written by batch.

The store keeps the changelog offset that its content stands for in the same write as the content, so
that it is either before a batch or after it, never between.
"""

import shutil
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager

from schemas.scored import amount_text
from stream_app.scoring import ID_BYTES, Window

# No user's key starts with NUL.
OFFSET_KEY = b"\0changelog-offset"
IDENTITY_KEY = b"\0changelog"
USER_KEY_BYTES = 36
WIDTHS = {4: "I", 8: "q"}  # bytes an amount, in the first that fits all; else 16
WIDEST = 16
_HEADER = struct.Struct("<BBqq")
_AMOUNTS = {
    width: [struct.Struct(f"<{count}{code}") for count in range(256)] for width, code in WIDTHS.items()
}


def encode_window(window: Window) -> bytes:
    """The window as bytes: width of an amount, count, last offset, update time, ids, amounts.

    >>> window = Window([1, 2], bytes(32), 3, last_offset=7, updated_at=9)
    >>> len(encode_window(window)), decode_window(encode_window(window)) == window
    (58, True)
    """
    width, amounts = _encode_amounts(window.amounts)
    header = _HEADER.pack(width, len(window.amounts), window.last_offset, window.updated_at)
    return header + window.ids + amounts


def _encode_amounts(amounts: list[int]) -> tuple[int, bytes]:
    for width in WIDTHS:
        try:
            return width, _AMOUNTS[width][len(amounts)].pack(*amounts)
        except struct.error:
            continue  # one of them needs more
    return WIDEST, b"".join(amount.to_bytes(WIDEST, "little") for amount in amounts)


def decode_window(data: bytes) -> Window:
    """The window that `encode_window` made these bytes of; ValueError for bytes it did not make."""
    try:
        width, count, last_offset, updated_at = _HEADER.unpack_from(data)
    except struct.error:
        raise ValueError("a window's header is cut short") from None
    start = _HEADER.size + ID_BYTES * count
    if not (width in WIDTHS or width == WIDEST) or len(data) != start + width * count:
        raise ValueError(f"not a window of a known format: {len(data)} bytes, {width} an amount")
    if width in WIDTHS:
        amounts = list(_AMOUNTS[width][count].unpack_from(data, start))
    else:
        amounts = [int.from_bytes(data[at : at + width], "little") for at in range(start, len(data), width)]
    return Window(amounts, data[_HEADER.size : start], sum(amounts), last_offset, updated_at)


def describe(window: Window) -> dict[str, Any]:
    """The window as people read it: amounts newest first, as decimal text."""
    count = len(window.amounts)
    return {
        "count": count,
        "mean": amount_text(window.mean) if count else None,
        "sum": amount_text(window.total),
        "amounts": [amount_text(amount) for amount in reversed(window.amounts)],
        "last_offset": window.last_offset,
        "updated_at": datetime.fromtimestamp(window.updated_at / 1000, UTC).isoformat(),
    }


def is_damage(error: Exception) -> bool:
    """Whether RocksDB says that its files are not as it left them: cut short, changed or gone."""
    said = str(error)  # rocksdict raises plain exceptions with RocksDB's words
    return said.startswith("Corruption") or (said.startswith("IO error") and "No such file" in said)


class WrongWindowsError(Exception):
    """The local windows are not of this worker's changelog: scoring on them would be wrong."""


class WindowStore:
    """Windows by user id, in one RocksDB database a partition; caches are shared by all of them."""

    def __init__(self, folder: Path, *, cache_bytes: int, buffer_bytes: int) -> None:
        self.folder = folder
        self._databases: dict[int, Rdict] = {}
        self._cache = Cache(cache_bytes)
        self._buffers = WriteBufferManager(buffer_bytes, allow_stall=False)

    def open(self, partition: int, identity: str | None = None) -> None:
        """Open the partition's database, made if absent; it is locked against other processes.

        `identity` says whose windows they are to be: WrongWindowsError when they are another's.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        database = Rdict(str(self._path(partition)), self._options())
        found: bytes | None = database.get(IDENTITY_KEY)
        if identity is not None and found is None:
            database.put(IDENTITY_KEY, identity.encode())
        elif identity is not None and found != identity.encode():
            database.close()
            raise WrongWindowsError(
                f"{self._path(partition)} holds windows of {found!r}, not of {identity}: choose another "
                "TXNWATCH_DATADIR, or delete that folder to have them restored"
            )
        self._databases[partition] = database

    def close(self, partition: int) -> None:
        """Close the partition's database, which unlocks it; nothing where it is not open."""
        database = self._databases.pop(partition, None)
        if database is not None:
            database.close()

    def discard(self, partition: int) -> None:
        """Close the partition's database and remove its files, whatever state they are in."""
        self.close(partition)
        shutil.rmtree(self._path(partition), ignore_errors=True)

    def changelog_offset(self, partition: int) -> int | None:
        """The offset of the last changelog record in the partition's database, None for an empty one."""
        value = self._databases[partition].get(OFFSET_KEY)
        return None if value is None else int(value)

    def load(self, partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        """A window for each user, a new one for a user who has none."""
        users = list(user_ids)
        values: list[Any] = self._databases[partition].get([user.encode() for user in users]) or []
        return {
            user: Window() if value is None else decode_window(value)
            for user, value in zip(users, values, strict=True)
        }

    def write(self, partition: int, items: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put (for None, delete) encoded windows by key and set the changelog offset, in one write."""
        batch = WriteBatch(raw_mode=True)
        for key, value in items:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(OFFSET_KEY, str(offset).encode())
        self._databases[partition].write(batch)

    def windows(self, partition: int) -> Iterator[tuple[str, Window]]:
        """Every user's window in the partition, by user id."""
        items: Iterator[tuple[Any, Any]] = self._databases[partition].items()
        for key, value in items:
            if len(key) == USER_KEY_BYTES:
                yield bytes(key).decode(), decode_window(value)

    def find(self, user_id: str) -> Window | None:
        """One user's window, whichever open partition has it."""
        key = user_id.encode()
        found = (database.get(key) for database in self._databases.values())
        value = next((value for value in found if value is not None), None)
        return decode_window(value) if value is not None and len(key) == USER_KEY_BYTES else None

    @property
    def partitions(self) -> list[int]:
        """The partitions that are open."""
        return sorted(self._databases)

    def _path(self, partition: int) -> Path:
        return self.folder / f"windows-{partition}.db"

    def _options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes it by position
        options.set_write_buffer_manager(self._buffers)
        options.set_keep_log_file_num(2)
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_bloom_filter(10, block_based=False)
        options.set_block_based_table_factory(table)
        return options
