"""How fast a worker brings windows from a changelog into an empty RocksDB.

Seen from outside, the same way for each contender: a changelog is filled with windows, a transaction in
each partition waits that only a restored window flags, and the time from the process's start to the last of
these flags is taken. What the same takes on a changelog of nothing but those windows is subtracted: it is
the time of starting.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.bed import PARTITIONS, Bed, new_run
from benchmarks.contenders import FAUST, STATE_ONLY, peer_environment, prepare, worker
from benchmarks.environments import peer_python
from benchmarks.feed import input_of, prime, resident
from benchmarks.process import Command, running
from benchmarks.race import output_of
from stream_app.window import Window, encode_window
from stream_app.window.recent import ENTRY_BYTES

PATIENCE_SECONDS = 300
LENGTH = 12  # amounts in each window
AMOUNT = 100  # hundredths: what `prime` sends is above five times this
SCATTER = 2_654_435_761  # Knuth's multiplier: consecutive numbers land far apart

Entry = tuple[bytes, bytes]


@dataclass(slots=True)
class Restorer:
    """A contender: how its changelog looks, how it is started, and how many keys it is given at the most."""

    name: str
    encode: Callable[[str], Entry]
    at_most: int | None
    seconds: list[float] = field(default_factory=list)
    idle_seconds: list[float] = field(default_factory=list)
    failure: str | None = None

    def rate(self, keys: int) -> float | None:
        """Keys a second; None where restoring took no longer than starting."""
        if not self.seconds or not self.idle_seconds:
            return None
        spent = median(self.seconds) - median(self.idle_seconds)
        return keys / spent if spent > 0 else None

    async def restore(self, bed: Bed, keys: int) -> float:
        """Seconds from its start to the last flag, with so many windows in its changelog."""
        run = new_run()
        await bed.create_topics(input_of(run))
        await bed.create_topics(output_of(run), **{"message.timestamp.type": "LogAppendTime"})
        try:
            command = await self._command(bed, run)
            await _fill(bed, f"{run}-windows-changelog", map(self.encode, _users(keys)))
            await prime(bed, run)
            began = time.time()
            with running(command) as process:
                async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                    flags = group.create_task(_last_flag(bed, output_of(run)))
                    while not flags.done():
                        process.check()
                        await asyncio.sleep(0.1)
                return flags.result() - began
        finally:
            await bed.clean(run)

    async def _command(self, bed: Bed, run: str) -> Command:
        raise NotImplementedError


class TxnwatchRestorer(Restorer):
    """Our worker, with Kafka alone."""

    async def _command(self, bed: Bed, run: str) -> Command:
        return worker(bed, run, await prepare(bed, input_of(run), run) | STATE_ONLY)


class FaustRestorer(Restorer):
    """The state peer on stock Faust."""

    async def _command(self, bed: Bed, run: str) -> Command:
        await bed.create_topics(f"{run}-windows-changelog", **{"cleanup.policy": "compact"})
        state = bed.scratch(run) / "state"
        environment = peer_environment(bed, input_of(run), run, state)
        arguments = ("-m", "benchmarks.peers.faust_state", *FAUST)
        return Command([peer_python("faust"), *arguments], environment, bed.scratch(run) / "peer.log")


def ours(user: str) -> Entry:
    """A window as our worker's changelog holds it."""
    window = Window(updated_at=int(time.time() * 1000))
    window.use("INR")
    for _ in range(LENGTH):
        window.push(AMOUNT, bytes(ENTRY_BYTES), LENGTH)
    return user.encode(), encode_window(window)


def stock(user: str) -> Entry:
    """A window as the stock Faust peer's changelog holds it."""
    return msgspec.json.encode(user), msgspec.json.encode([AMOUNT] * LENGTH)


def _users(keys: int) -> Iterator[str]:
    """Each partition's resident by turns of partitions, and others in no order of their ids."""
    yield from map(resident, range(PARTITIONS))
    for number in range(PARTITIONS, keys):
        yield f"{number * SCATTER % 2**32:08x}-0000-4000-b000-000000000000"


async def _fill(bed: Bed, topic: str, entries: Iterator[Entry]) -> None:
    """Put entries on a topic, partitions by turns."""
    async with AIOKafkaProducer(
        bootstrap_servers=bed.kafka, compression_type="lz4", max_batch_size=1 << 18
    ) as producer:
        batches = [producer.create_batch() for _ in range(PARTITIONS)]
        for number, (key, value) in enumerate(entries):
            partition = number % PARTITIONS
            if batches[partition].append(timestamp=None, key=key, value=value) is None:
                await producer.send_batch(batches[partition], topic, partition=partition)
                batches[partition] = producer.create_batch()
                batches[partition].append(timestamp=None, key=key, value=value)
        for partition, batch in enumerate(batches):
            await producer.send_batch(batch, topic, partition=partition)
        await producer.flush()


async def _last_flag(bed: Bed, topic: str) -> float:
    """When the last of the partitions' flags arrived, by the broker's clock, in seconds."""
    stamps: dict[int, float] = {}
    async with AIOKafkaConsumer(
        bootstrap_servers=bed.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        while len(stamps) < PARTITIONS:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    stamps.setdefault(record.partition, record.timestamp / 1000)
    return max(stamps.values())
