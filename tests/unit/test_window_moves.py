"""Which windows `txnwatch repartition` writes to where."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime.partitioners import Partitioner
from stream_app.commands.window_moves import WindowMoves
from stream_app.state.store import WindowStore
from stream_app.window import Window, decode_window

USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[WindowStore]:
    store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 20)
    for number in range(3):
        store.open(number)
    yield store
    for number in range(3):
        store.close(number)


@pytest.mark.parametrize("lengths", [(3, 1), (1, 3)])
def test_of_two_windows_of_a_user_the_longer_one_is_kept_also_where_neither_is_at_home(
    windows: WindowStore, lengths: tuple[int, int]
) -> None:
    moves = WindowMoves(windows, Partitioner("murmur2", 6), dict.fromkeys(range(6), 100))

    written: list[bytes] = []
    for before, length in enumerate(lengths):
        changes = moves.changes([(before, 5, USER, Window.of([1] * length))])
        written += [value for _key, value in changes.get(5, []) if value]

    assert decode_window(written[-1]).count == 3
