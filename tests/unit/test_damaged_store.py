"""A database whose files are damaged can be closed, and had again."""

import os
import stat
import time
from pathlib import Path

import pytest

from stream_app.state.store import WindowStore
from tests.support.faults.damage import flip_bits

KEYS = [f"{number:036}".encode() for number in range(300)]


def write(store: WindowStore, offset: int) -> None:
    store.write(0, [(key, os.urandom(400)) for key in KEYS], offset)


def damage(table: Path) -> None:
    """Flip a bit in each byte of its first block, where the keys of no user are; the file can be opened."""
    data = bytearray(table.read_bytes())
    for at in range(len(data) // 40):
        data[at] ^= 0x10
    table.write_bytes(data)


def write_for_long(store: WindowStore) -> None:
    """Write until RocksDB, which merges its files in the background, has come upon the damage."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        write(store, 9)


def test_what_is_damaged_can_be_closed_and_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 16)
    for offset in range(3):  # as many files, fewer than are merged
        store.open(0)
        write(store, offset)
        store.close(0)
    flip_bits(tmp_path)
    store.open(0)
    with pytest.raises(Exception, match=r"^Corruption"):
        write_for_long(store)

    store.close(0)

    assert "closed without their last writes" in caplog.text
    store.discard(0)
    store.open(0)
    assert store.changelog_offset(0) is None
    store.close(0)


def test_what_is_damaged_where_it_says_whose_it_is_is_not_left_locked(tmp_path: Path) -> None:
    store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 16)
    store.open(0, "of this topic")
    write(store, 1)
    store.close(0)
    for table in tmp_path.glob("*/*.sst"):
        damage(table)

    with pytest.raises(Exception, match=r"^Corruption") as damaged:
        store.open(0, "of this topic")

    assert damaged.value.__traceback__ is not None  # which would keep the database
    store.discard(0)
    store.open(0, "of this topic")
    store.close(0)


def test_a_folder_of_windows_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir(mode=0o755)  # as former versions made it
    store = WindowStore(tmp_path / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 16)
    store.open(0)

    assert stat.S_IMODE((tmp_path / "windows").stat().st_mode) == 0o700
    store.close(0)
