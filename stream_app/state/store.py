"""Users' windows in RocksDB, one database a partition, read and written by batch.

The changelog offset that the content stands at is in the same write as the content, so a crash leaves the
state before a batch or after it. There is no write-ahead log: a process that dies leaves the state of the
last flush, and the changelog has what came after.
"""

import logging
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rocksdict
from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from infra.runtime.cli_errors import StopError
from schemas.money import amount_text
from schemas.window_view import CurrencyWindow, Stats
from stream_app.scoring import MerchantRuns
from stream_app.state.merchants import known_runs
from stream_app.window import VERSION, Window, decode_window

log = logging.getLogger(__name__)

NO_USER = b"\0"
"""What keys begin with that are no user's."""
_FORMAT_KEY = b"\0format"
_OFFSET_KEY = b"\0changelog-offset"
_IDENTITY_KEY = b"\0changelog"
_FORMER_IDENTITY = 2  # how many of an identity's parts there were before it had the topic's id and partition
_USER_KEY_BYTES = 36
_PAGE_ENTRIES = 500
_SIZES = {
    "state_keys": "rocksdb.estimate-num-keys",
    "state_file_bytes": "rocksdb.total-sst-files-size",
    "state_memory_bytes": "rocksdb.cur-size-all-mem-tables",
}
_ENTRY_BYTES = 260  # of a recent value beside its content: its key, and their place in a dictionary


def describe(user_id: str, window: Window) -> Stats:
    """The window as people read it."""
    return Stats(
        user_id=user_id,
        count=window.count,
        mean=amount_text(window.mean),
        sum=amount_text(window.total),
        amounts=[amount_text(amount) for amount in reversed(window.amounts)],
        last_offset=window.last_offset,
        updated_at=window.updated.isoformat(),
        currencies={
            currency: CurrencyWindow(
                its.count,
                amount_text(its.mean),
                amount_text(its.total),
                [amount_text(amount) for amount in reversed(its.amounts)],
            )
            for currency, its in reversed((window.by_currency if window.others else {}).items())
        },
    )


def is_damage(error: Exception) -> bool:
    """Whether RocksDB found its files cut short, changed or missing."""
    text = str(error)  # rocksdict raises plain exceptions with RocksDB's message
    return text.startswith("Corruption") or (text.startswith("IO error") and "No such file" in text)


def _close(database: Rdict, partition: int) -> None:
    """Close a database; its lock is free afterwards, also where its last writes fail."""
    try:
        database.close()
    except Exception as error:
        if not is_damage(error):
            raise
        log.warning("partition %d: windows were closed without their last writes: %s", partition, error)


class WrongWindowsError(StopError):
    """The local windows are not of this worker's changelog, or cannot be had: none may be scored on."""


def identity_of(cluster_id: str, changelog: str, changelog_id: str, partition: int) -> str:
    """What the windows of a partition are of, as its database keeps it."""
    return f"{cluster_id}/{changelog}/{changelog_id}/{partition}"


def _former(identity: str) -> bytes:
    """The identity as it was kept before it had the changelog's id and the partition."""
    return "/".join(identity.split("/")[:_FORMER_IDENTITY]).encode()


class RecentValues:
    """Values by key, in bounded memory; those that have not been put for longest go first.

    With it, users who come again are not looked up in RocksDB. Two generations in place of an order: when the
    young one is full it becomes the old one, and the former old one is dropped as a whole.

    >>> recent = RecentValues()
    >>> two = 2 * (_ENTRY_BYTES + 1)
    >>> recent.put([(b"a", b"1"), (b"b", b"2")], two, most=2 * two)
    >>> recent.put([(b"c", b"3"), (b"a", b"4")], two, most=2 * two)
    >>> recent.put([(b"d", b"")], _ENTRY_BYTES, most=2 * two)
    >>> recent.get([b"a", b"b", b"c", b"d"])
    [b'4', None, b'3', b'']
    """

    def __init__(self) -> None:
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._young_bytes = 0  # at the most: a key that was put several times counts each time

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where it is not here."""
        old = self._old
        values = [*map(self._young.get, keys)]
        return [old.get(key) if value is None else value for key, value in zip(keys, values, strict=True)]

    def put(self, items: Iterable[tuple[bytes, bytes]], size: int, most: int) -> None:
        """Keep these, which take `size` bytes, and of all some `most` bytes."""
        self._young.update(items)
        self._young_bytes += size
        if self._young_bytes >= most / 2:
            self._young_bytes = _ENTRY_BYTES * len(self._young) + sum(map(len, self._young.values()))
            if self._young_bytes >= most * 3 / 8:  # not at half, or it would soon be counted again
                self._old, self._young, self._young_bytes = self._young, {}, 0


class WindowStore:
    """Windows by user id, in one RocksDB database a partition; the bytes given are for all of them together.

    `recent_bytes` are for the windows that were written last.
    """

    def __init__(self, folder: Path, *, cache_bytes: int, buffer_bytes: int, recent_bytes: int = 0) -> None:
        self.folder = folder
        self._databases: dict[int, Rdict] = {}
        self._recent: dict[int, RecentValues] = {}
        self._most_recent, self.restored = recent_bytes, 0  # the other is how many changes take-overs read
        self._cache = rocksdict.Cache(cache_bytes)
        self._buffers = rocksdict.WriteBufferManager(buffer_bytes, allow_stall=False)

    def open(self, partition: int, identity: str | None = None) -> None:
        """Open the partition's database, made if absent; it is locked against other processes.

        Raises:
            WrongWindowsError: Its windows are of another installation or partition than `identity`, or its
                folder cannot be used.
        """
        database = self._database(partition)
        without_log = WriteOptions()
        without_log.disable_wal = True  # type: ignore[method-assign,assignment]  # a property, despite its stub
        database.set_write_options(without_log)
        try:
            if identity is not None:
                self._identify(partition, database, identity)
        except BaseException:
            _close(database, partition)  # the exception's traceback would keep it, and with it the lock
            raise
        self._databases[partition] = database
        self._recent[partition] = RecentValues()

    def close(self, partition: int) -> None:
        """Close the partition's database, which unlocks it; nothing where it is not open.

        Where its files are damaged, what it has not written yet is given up: the changelog has it.
        """
        self._recent.pop(partition, None)
        database = self._databases.pop(partition, None)
        if database is not None:
            _close(database, partition)

    def discard(self, partition: int) -> None:
        """Close the partition's database and remove its files, whatever state they are in."""
        self.close(partition)
        shutil.rmtree(self._path(partition), ignore_errors=True)

    def changelog_offset(self, partition: int) -> int | None:
        """The offset of the last changelog record in the partition's database, None for an empty one."""
        value = self._databases[partition].get(_OFFSET_KEY)
        return None if value is None else int(value)

    def note(self, partition: int, key: bytes) -> bytes | None:
        """What the partition's changelog says under a key that is no user's, None where it does not."""
        value: bytes | None = self._databases[partition].get(key)
        return value

    def runs(self, partition: int, merchants: Collection[str]) -> MerchantRuns:
        """What the partition's labels say of these merchants, in one read."""
        read: Any = self._databases[partition].get
        return known_runs(merchants, read)

    def load(self, partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        """A window for each user, a new one for a user who has none."""
        users = list(user_ids)
        keys = [user.encode() for user in users]
        values = self._recent[partition].get(keys)
        if None in values:
            missing = [key for key, value in zip(keys, values, strict=True) if value is None]
            found: Any = self._databases[partition].get([*missing])
            stored = iter(found)
            values = [next(stored) if value is None else value for value in values]
        return {
            user: decode_window(value) if value else Window()
            for user, value in zip(users, values, strict=True)
        }

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put (for None, delete) encoded windows by key and set the changelog offset, in one write."""
        batch, size = WriteBatch(raw_mode=True), _ENTRY_BYTES * len(items)
        for key, value in items:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
                size += len(value)
        batch.put(_OFFSET_KEY, str(offset).encode())
        self._databases[partition].write(batch)
        known = ((key, value or b"") for key, value in items)
        self._recent[partition].put(known, size, self._most_recent // len(self._databases))

    def windows(self, partition: int) -> Iterator[tuple[str, Window]]:
        """Every user's window in the partition, by user id; an exception at the first that cannot be read.

        Nothing of the database is held between two windows, so that it may be closed there.
        """
        after = b""
        while page := self._page(partition, after):
            for after, value in page:
                if len(after) == _USER_KEY_BYTES:
                    yield after.decode(), decode_window(value)

    def find(self, user_id: str) -> Window | None:
        """One user's window, whichever open partition has it."""
        key = user_id.encode()
        found = (database.get(key) for database in self._databases.values())
        value = next((value for value in found if value is not None), None)
        return decode_window(value) if value is not None and len(key) == _USER_KEY_BYTES else None

    @property
    def partitions(self) -> list[int]:
        """The partitions that are open."""
        return sorted(self._databases)

    @property
    def cached_bytes(self) -> int:
        """What the block cache holds."""
        return self._cache.get_usage()

    def figures(self, partition: int) -> dict[str, int]:
        """How large a partition's database is."""
        read = self._databases[partition].property_int_value
        return {name: read(of) or 0 for name, of in _SIZES.items()}

    def _page(self, partition: int, after: bytes) -> list[tuple[bytes, bytes]]:
        """The next entries after a key."""
        page: list[tuple[bytes, bytes]] = []
        items: Any = self._databases[partition].iter()
        try:
            items.seek(after + b"\0")
            while items.valid() and len(page) < _PAGE_ENTRIES:
                page.append((bytes(items.key()), bytes(items.value())))
                items.next()
            items.status()  # raises where a damaged block, and not the last entry, ended the iteration
        finally:
            del items  # an exception's traceback would keep it, and with it the database locked
        return page

    def _identify(self, partition: int, database: Rdict, identity: str) -> None:
        """Have the database say what its windows are, where it does not yet."""
        found: bytes | None = database.get(_IDENTITY_KEY)
        version = int(database.get(_FORMAT_KEY) or 0)
        if version > VERSION:
            wrong = f"windows of version {version}, written by a later txnwatch: run that one"
        elif found not in {None, _former(identity), identity.encode()}:
            wrong = (
                f"windows of {(found or b'').decode()}, not of {identity}: choose another TXNWATCH_DATADIR, "
                "or delete that folder to have them restored"
            )
        else:
            database.put(_IDENTITY_KEY, identity.encode())
            database.put(_FORMAT_KEY, str(VERSION).encode())
            return
        raise WrongWindowsError(f"{self._path(partition)} holds {wrong}")

    def _database(self, partition: int) -> Rdict:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)  # it has amounts
            return Rdict(str(self._path(partition)), self._options())
        except Exception as error:
            if is_damage(error):
                raise
            raise WrongWindowsError(
                f"{self._path(partition)} cannot be opened: {error}. TXNWATCH_DATADIR has to be a folder "
                "that this worker alone uses and may write to"
            ) from error

    def _path(self, partition: int) -> Path:
        return self.folder / f"windows-{partition}.db"

    def _options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes it by position
        options.set_write_buffer_manager(self._buffers)
        options.set_keep_log_file_num(2)
        # New users are not found: a Bloom filter says so in 0.6 µs, a search in 1.5.
        options.set_memtable_whole_key_filtering(True)
        # 20 bits a window of a full memtable; the room for it is taken at once, 0.3 MB a partition.
        options.set_memtable_prefix_bloom_ratio(0.005)
        # Ids do not compress. Windows are written more often than read: universal compaction rewrites them
        # less often, in larger files.
        options.set_compression_type(rocksdict.DBCompressionType.none())
        options.set_compaction_style(rocksdict.DBCompactionStyle.universal())
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_bloom_filter(10, block_based=False)
        options.set_block_based_table_factory(table)
        return options
