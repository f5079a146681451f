"""The partition that a producer puts a key on: each client's library has a default of its own.

A user whose messages come from clients with different partitioners is on two partitions, and so has two
windows. docs/producers.md says which client uses which, and how to set it.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import lru_cache, partial
from struct import unpack_from
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias
from zlib import crc32

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from infra.runtime.kafka import ClientSettings, TopicsError, consumer_options

Name: TypeAlias = Literal["murmur2", "crc32", "fnv1a"]
Placed: TypeAlias = tuple[bytes, int]
"""A key and the partition that it was found on."""

ENOUGH: Final = 20
"""So many keys tell partitioners apart: of two partitions, another one fits all of them once in a million."""

_REMEMBERED_KEYS = 1 << 18
_NEWEST = 50  # records of each partition that `learned` looks at
_LEARN_SECONDS = 10.0
_MOSTLY = 0.9
_MURMUR, _32_BITS = 0x5BD1E995, 0xFFFFFFFF


def _java(key: bytes) -> int:
    """As Java's client, kafkajs, franz-go, kafka-python and aiokafka, whose own takes twice as long."""
    words, rest = divmod(len(key), 4)
    found = 0x9747B28C ^ len(key)
    for word in unpack_from(f"<{words}I", key):
        mixed = word * _MURMUR & _32_BITS
        found = (found * _MURMUR ^ (mixed ^ mixed >> 24) * _MURMUR) & _32_BITS
    if rest:
        found = (found ^ int.from_bytes(key[-rest:], "little")) * _MURMUR & _32_BITS
    found = (found ^ found >> 13) * _MURMUR & _32_BITS
    return (found ^ found >> 15) & 0x7FFFFFFF


def _fnv1a(key: bytes) -> int:
    """As sarama's default and kafka-go's Hash: the absolute value of a signed number."""
    found = 0x811C9DC5
    for byte in key:
        found = ((found ^ byte) * 0x01000193) & 0xFFFFFFFF
    return min(found, (1 << 32) - found)


_HASHES: dict[Name, Callable[[bytes], int]] = {"murmur2": _java, "crc32": crc32, "fnv1a": _fnv1a}


def partition_of(name: Name, key: bytes, partitions: int) -> int:
    """The partition of a key among so many.

    >>> [partition_of(name, b"abc", 64) for name in ("murmur2", "crc32", "fnv1a")]
    [27, 2, 11]
    """
    return _HASHES[name](key) % partitions


class PartitionerSettings(ClientSettings, Protocol):
    """What is needed of a program's settings."""

    @property
    def partitioner(self) -> Name | Literal["auto"]:
        """The one that producers use, or auto to learn it."""


class Fit(NamedTuple):
    """The partitioner that puts most of some keys where they are."""

    name: Name
    fitting: int
    keys: int

    @property
    def is_clear(self) -> bool:
        """Whether nine of ten keys are where it puts them."""
        return self.fitting >= _MOSTLY * self.keys


def best_fit(placed: Collection[Placed], partitions: int) -> Fit:
    """The partitioner that fits these keys best; Kafka's default where none is better."""
    fitting = {
        name: sum(partition_of(name, key, partitions) == partition for key, partition in placed)
        for name in _HASHES
    }
    name = max(fitting, key=fitting.__getitem__)
    return Fit(name, fitting[name], len(placed))


class Partitioner:
    """Chooses partitions as producers with this partitioner do."""

    def __init__(self, name: Name, partitions: int) -> None:
        self.name = name
        self.partitions = partitions
        # murmur2 is plain Python: 2 µs a key.
        self._of_key = lru_cache(_REMEMBERED_KEYS)(partial(partition_of, name, partitions=partitions))

    def of(self, key: bytes | None) -> int:
        """The partition of a key; any one where there is none."""
        return random.randrange(self.partitions) if key is None else self._of_key(key)  # noqa: S311 - no secret


async def producers_partitioner(
    settings: PartitionerSettings, producer: AIOKafkaProducer, topic: str
) -> Partitioner:
    """The one that the settings name, or that fits the newest keys on the topic; Kafka's default without any.

    Raises:
        TopicsError: There is no such topic, or the settings leave it to the keys, and those fit none.
        KafkaError: The topic cannot be read.
    """
    # All topics are asked for: asking for one by name may create it, with any number of partitions.
    known = (await producer.client.fetch_all_metadata()).partitions_for_topic(topic)
    if not known:
        raise TopicsError(f"there is no topic {topic}: `txnwatch topics` creates it")
    if settings.partitioner == "auto":
        return Partitioner(await _learned(settings, topic, len(known)), len(known))
    return Partitioner(settings.partitioner, len(known))


async def _learned(settings: ClientSettings, topic: str, partitions: int) -> Name:
    fit = best_fit(await _newest_keys(settings, topic, partitions), partitions)
    if not fit.is_clear:
        raise TopicsError(
            f"TXNWATCH_PARTITIONER=auto: {fit.name}, the best, fits {fit.fitting} of the newest {fit.keys} "
            f"keys of {topic}: producers use several, or another one. Set it to {', '.join(_HASHES)}"
        )
    return fit.name


async def _newest_keys(settings: ClientSettings, topic: str, partitions: int) -> list[Placed]:
    """Keys of the newest records of each partition, each once."""
    every = [TopicPartition(topic, number) for number in range(partitions)]
    async with AIOKafkaConsumer(**consumer_options(settings, "keys")) as consumer:
        consumer.assign(every)
        beginnings, ends = await consumer.beginning_offsets(every), await consumer.end_offsets(every)
        for one in every:
            consumer.seek(one, max(beginnings[one], ends[one] - _NEWEST))
        found: set[Placed] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEARN_SECONDS):
                while any([await consumer.position(one) < ends[one] for one in every]):
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found |= {(record.key, record.partition) for record in records if record.key}
    return list(found)
