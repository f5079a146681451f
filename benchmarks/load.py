"""The input of a measurement: transactions of about 180 bytes, a mark at either end of each partition."""

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import click
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from benchmarks.bed import PARTITIONS, Bed
from benchmarks.peers.rule import SIZE, stands_out

SEED = 20260101
START = datetime(2025, 1, 1, tzinfo=UTC)
OUTLIERS = 0.01  # the share of amounts that are eight times the usual
MERCHANTS = 500
_STRIDE = 7_919  # a prime: neighbours are of other merchants and countries
_COUNTRIES = ("IN",) * 29 + ("GB", "AE")
MARKS = 12  # transactions of the marking user that lead up to a mark


@dataclass(frozen=True, slots=True)
class Load:
    """A filled topic of which the rule flags `flags` transactions; 0 where another decides.

    `first` and `last` are the ids of the flags that its partitions begin and end with.
    """

    topic: str
    count: int
    users: int
    flags: int
    first: frozenset[str]
    last: frozenset[str]


@dataclass(slots=True)
class Loads:
    """The filled topics of a bed, each filled when it is first asked for."""

    bed: Bed
    filled: dict[tuple[int, int, bool], Load] = field(default_factory=dict)

    async def of(self, count: int, users: int, *, full: bool = False) -> Load:
        """A topic of so many transactions of so many users; `full` ones have merchants and countries."""
        key = count, users, full
        if key not in self.filled:
            click.echo(f"  filling a topic: {count:,} transactions of {users:,} users")
            topic = f"load-{count}-{users}{'-full' if full else ''}"
            self.filled[key] = await fill(self.bed, topic, count, users, full=full)
        return self.filled[key]


async def fill(bed: Bed, topic: str, count: int, users: int, *, full: bool = False) -> Load:
    """Put `count` transactions of `users` users on a new topic, lz4, spread as a producer spreads them."""
    partitions, load = generate(topic, count, users, full=full)
    await bed.create_topics(topic)
    async with AIOKafkaProducer(
        bootstrap_servers=bed.kafka, compression_type="lz4", max_batch_size=1 << 18
    ) as producer:
        for partition, messages in enumerate(partitions):
            await _send(producer, topic, partition, messages)
    return load


def generate(
    topic: str, count: int, users: int, *, full: bool = False
) -> tuple[list[list[tuple[bytes, bytes]]], Load]:
    """Each partition's keys and values, and what is to be known of them; always the same."""
    markers = [_marker(partition) for partition in range(PARTITIONS)]
    spread, flags = _spread(count, users, full=full)
    partitions = [
        [*_mark(marker, 0), *messages, *_mark(marker, 1)]
        for marker, messages in zip(markers, spread, strict=True)
    ]
    first, last = (frozenset(_id(marker, end) for marker in markers) for end in (0, 1))
    flags += len(first) + len(last)
    return partitions, Load(topic, sum(map(len, partitions)), users, flags, first, last)


def _spread(count: int, users: int, *, full: bool) -> tuple[list[list[tuple[bytes, bytes]]], int]:
    """Each partition's transactions between the marks, and how many of all the rule flags."""
    random = Random(SEED)  # noqa: S311 - reproducible, not secret
    ids = [_uuid(random.getrandbits(128)) for _ in range(users)]
    homes = [(murmur2(user.encode()) & 0x7FFFFFFF) % PARTITIONS for user in ids]
    scales = [math.exp(random.gauss(7.5, 0.8)) for _ in ids]
    windows: list[deque[int]] = [deque(maxlen=SIZE) for _ in ids]
    partitions: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
    flags = 0
    for number in range(count):
        at = random.randrange(users)
        amount = round(scales[at] * math.exp(random.gauss(0, 0.5)) * (8 if random.random() < OUTLIERS else 1))
        message = _message(_uuid(random.getrandbits(128)), ids[at], amount, number, _more(number, full=full))
        partitions[homes[at]].append((ids[at].encode(), message))
        flags += stands_out(windows[at], amount)
        windows[at].append(amount)
    return partitions, flags


def _marker(partition: int) -> str:
    """A user whose key belongs on the partition."""
    numbers = (_uuid(number) for number in range(1, 10_000))
    return next(user for user in numbers if (murmur2(user.encode()) & 0x7FFFFFFF) % PARTITIONS == partition)


def _mark(marker: str, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Small amounts and then one that the rule flags: the first time 100 times, then 10,000 times."""
    for number in range(MARKS - 1):
        yield marker.encode(), _message(f"{number:x}{'ab'[end]}{marker[2:]}", marker, 100, number)
    yield marker.encode(), _message(_id(marker, end), marker, 10_000 * 100**end, MARKS)


def _id(marker: str, end: int) -> str:
    return f"f{'ab'[end]}{marker[2:]}"


def _uuid(number: int) -> str:
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def merchant(number: int) -> str:
    """The name of a merchant, of so many as there are."""
    return f"m-{number % MERCHANTS:03}"


def _more(number: int, *, full: bool) -> str:
    """The merchant and country of a transaction by its number, as JSON goes on; empty: it has none."""
    at = number * _STRIDE
    return f',"merchant_id":"{merchant(at)}","country":"{_COUNTRIES[at % len(_COUNTRIES)]}"' if full else ""


def _message(identity: str, user: str, amount: int, number: int, more: str = "") -> bytes:
    date = (START + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    return (
        f'{{"id":"{identity}","user_id":"{user}","amount":"{amount // 100}.{amount % 100:02d}",'
        f'"currency":"INR","txn_date":"{date}","status":"paid"{more}}}'
    ).encode()


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, messages: list[tuple[bytes, bytes]]
) -> None:
    sent: list[asyncio.Future[object]] = []
    batch = producer.create_batch()
    for key, value in messages:
        if batch.append(timestamp=None, key=key, value=value) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)
    sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)
