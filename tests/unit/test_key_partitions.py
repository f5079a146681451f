"""The partitions of keys, by the clients that producers use."""

import pytest
from aiokafka.partitioner import murmur2 as of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.partitioners import Name, Partitioner, best_fit, partition_of

# What the clients themselves say of 7 and 64 partitions, asked on the same keys:
# - murmur2: Java's kafka-clients 4.1.1, kafkajs, franz-go, kafka-go's Murmur2Balancer, librdkafka's murmur2
# - crc32: librdkafka 2.16's consistent and consistent_random (its default), kafka-go's CRC32Balancer
# - fnv1a: sarama 1.61's default, kafka-go 0.4's Hash, librdkafka's fnv1a
VECTORS = [
    ("1e145f1e-f2e1-512a-aebb-35bb6597e178", (0, 21), (1, 2), (1, 48)),
    ("f06a72cf-e094-50a7-b663-8929e421dd6f", (0, 46), (6, 29), (5, 56)),
    ("00000000-0000-0000-0000-000000000000", (3, 61), (5, 9), (1, 47)),
    ("ffffffff-ffff-ffff-ffff-ffffffffffff", (4, 50), (2, 15), (2, 17)),
    ("0adc6002-5d0d-4b8e-9c1c-3b7f2a9d4e11", (0, 0), (1, 5), (1, 12)),
    ("7c9e6679-7425-40de-944b-e07fc1f90ae7", (0, 37), (5, 24), (6, 19)),
    ("550e8400-e29b-41d4-a716-446655440000", (6, 63), (0, 49), (0, 24)),
    ("a", (5, 60), (4, 3), (6, 20)),
    ("ab", (0, 42), (5, 45), (2, 10)),
    ("abc", (4, 27), (5, 2), (5, 11)),
    ("kafka", (3, 36), (6, 23), (4, 33)),
]
NAMES: list[Name] = ["murmur2", "crc32", "fnv1a"]


@pytest.mark.parametrize(("key", "murmur2", "crc32", "fnv1a"), VECTORS)
def test_keys_are_where_the_clients_put_them(
    key: str, murmur2: tuple[int, int], crc32: tuple[int, int], fnv1a: tuple[int, int]
) -> None:
    for name, expected in zip(NAMES, (murmur2, crc32, fnv1a), strict=True):
        assert tuple(partition_of(name, key.encode(), partitions) for partitions in (7, 64)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_partitioner_is_told_from_where_keys_are(name: Name) -> None:
    placed = [(key.encode(), partition_of(name, key.encode(), 4)) for key, *_ in VECTORS]

    assert best_fit(placed, 4) == (name, len(VECTORS), len(VECTORS))


def test_keys_of_several_partitioners_fit_none_and_no_keys_fit_the_default() -> None:
    mixed = [
        (key.encode(), partition_of(NAMES[number % 3], key.encode(), 64))
        for number, (key, *_) in enumerate(VECTORS)
    ]

    assert not best_fit(mixed, 64).is_clear
    assert best_fit([], 64) == ("murmur2", 0, 0)
    assert best_fit([], 64).is_clear


def test_a_record_without_a_key_may_go_anywhere() -> None:
    partitioner = Partitioner("crc32", 4)

    assert {partitioner.of(None) for _ in range(200)} == {0, 1, 2, 3}


@given(st.binary(max_size=80))
def test_murmur2_is_that_of_aiokafka(key: bytes) -> None:
    assert partition_of("murmur2", key, 1 << 31) == of_aiokafka(key) & 0x7FFFFFFF
