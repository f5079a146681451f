"""Damage to RocksDB's files, by the folder of a worker's windows."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

Damage = Callable[[Path], None]


def remove_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_one_database(folder: Path) -> None:
    shutil.rmtree(next(databases(folder)))


def cut_a_table(folder: Path) -> None:
    for database in databases(folder):
        cut(largest(database, "*.sst"))


def cut_the_manifest(folder: Path) -> None:
    for database in databases(folder):
        cut(largest(database, "MANIFEST-*"))


def remove_the_manifest(folder: Path) -> None:
    for database in databases(folder):
        largest(database, "MANIFEST-*").unlink()


def empty_the_pointer(folder: Path) -> None:
    """The file that says which manifest is the current one."""
    for database in databases(folder):
        (database / "CURRENT").write_bytes(b"")


def flip_bits(folder: Path) -> None:
    """In the data of every table, which is seen only when a block is read."""
    for table in folder.glob("*/*.sst"):
        data = bytearray(table.read_bytes())
        for at in range(len(data) // 3, len(data) // 2):
            data[at] ^= 0x10
        table.write_bytes(data)


def databases(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("windows-*.db"))


def largest(database: Path, pattern: str) -> Path:
    return max(database.glob(pattern), key=lambda path: path.stat().st_size)


def cut(path: Path) -> None:
    whole = path.read_bytes()
    assert len(whole) > 1
    path.write_bytes(whole[: len(whole) // 2])
