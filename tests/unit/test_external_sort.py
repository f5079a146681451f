"""Sorting in bounded memory."""

import tracemalloc
from random import Random

import msgspec
import pytest

from infra.runtime.external_sort import ExternalSort


class Item(msgspec.Struct, frozen=True):
    """What is sorted."""

    key: int
    number: int
    text: bytes = b""


@pytest.mark.parametrize("memory_bytes", [0, 5_000, 1 << 30])
def test_items_come_back_by_their_keys_and_equal_ones_in_their_order(memory_bytes: int) -> None:
    random = Random(1)
    items = [Item(random.randrange(50), number) for number in range(1000)]

    with ExternalSort(Item, lambda item: item.key, memory_bytes) as sorting:
        for item in items:
            sorting.add(item)
        assert list(sorting) == sorted(items, key=lambda item: item.key)


def test_of_no_items_there_are_none() -> None:
    with ExternalSort(Item, lambda item: item.key) as sorting:
        assert list(sorting) == []


def test_memory_is_bounded_however_much_is_sorted() -> None:
    tracemalloc.start()
    try:
        with ExternalSort(Item, lambda item: -item.key, 1 << 20) as sorting:
            for number in range(20_000):
                sorting.add(Item(number, number, bytes(1000)))
            assert sum(1 for _ in sorting) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 4 << 20  # of 20 MB
    finally:
        tracemalloc.stop()
