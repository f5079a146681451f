"""The windows that were written last: how much memory they take, and which are kept."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from stream_app.state.store import WindowStore

MOST = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WindowStore]:
    store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 20, recent_bytes=MOST)
    store.open(0)
    yield store
    store.close(0)


def users(start: int, end: int) -> list[bytes]:
    return [str(UUID(int=number)).encode() for number in range(start, end)]


def write(store: WindowStore, size: int, keys: list[bytes]) -> int:
    """Write values of this size, ten at a time; the most bytes that the recent ones have really taken."""
    most = 0
    for start in range(0, len(keys), 10):
        store.write(0, [(key, bytes(size)) for key in keys[start : start + 10]], start)
        most = max(most, taken(store)) if start % 200 == 0 else most
    return most


def taken(store: WindowStore) -> int:
    recent = store._recent[0]  # noqa: SLF001 - there is no other way to see them
    generations = (recent._young, recent._old)  # noqa: SLF001
    items = [one for generation in generations for item in generation.items() for one in item]
    return sum(map(sys.getsizeof, [*generations, *items]))


@pytest.mark.parametrize("size", [200, 537, 5_000])
def test_values_take_their_bytes_whatever_their_size(store: WindowStore, size: int) -> None:
    most = write(store, size, users(0, 3 * MOST // (size + 260)))

    assert MOST / 2 < most < 1.1 * MOST


def test_users_who_come_again_take_the_room_once(store: WindowStore) -> None:
    known = users(0, 300)
    for _ in range(20):
        write(store, 500, known)
    write(store, 500, users(300, 600))

    assert None not in store._recent[0].get(known)  # noqa: SLF001 - RocksDB has them in any case


def test_values_that_grow_are_counted_again(store: WindowStore) -> None:
    known = users(0, 300)
    for size in range(500, 8_000, 1_500):
        write(store, size, known)

    assert taken(store) < 1.1 * MOST
