"""What `txnwatch repartition` writes: windows and waiting messages, to the partitions that are theirs now.

All of it is one transaction of Kafka, with the group's offsets.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import OffsetAndMetadata

from infra.runtime.cli_errors import StopError
from infra.runtime.kafka import Records, client_options, consumer_options, read_until
from infra.runtime.partitioners import Name, Partitioner, best_fit
from infra.runtime.record_batches import UNCOMPRESSED, ZSTD, Message, batches
from stream_app.commands.window_moves import Changes, Place, WindowMoves
from stream_app.settings import Settings
from stream_app.sinks.kafka import CommittedPosition, committed_positions, moved_metadata
from stream_app.state.store import WindowStore
from stream_app.state.topics import TOPICS_KEY, KnownTopics

_AT_A_TIME = 5_000
_SAMPLE = 1_000  # users of each partition, by whom the producers' partitioner is told
# The longest that brokers let a transaction take by default.
_TRANSACTION_MS = 900_000
# What the topic takes was looked at by then, and is of records as they are compressed.
_NO_LIMIT = 1 << 30


class NotPossibleError(StopError):
    """The partitions cannot be changed as things are; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where each partition of the input begins and ends, and where its committed records end."""

    beginnings: Mapping[int, int]
    ends: Mapping[int, int]
    committed_ends: Mapping[int, int]

    @classmethod
    async def of(cls, settings: Settings, partitions: int) -> Self:
        """As they are now."""
        every = [TopicPartition(settings.transactions_topic, number) for number in range(partitions)]
        async with (
            AIOKafkaConsumer(**client_options(settings, "ends")) as all_records,
            AIOKafkaConsumer(**consumer_options(settings, "ends")) as committed,
        ):
            asked = [
                await all_records.beginning_offsets(every),
                await all_records.end_offsets(every),
                await committed.end_offsets(every),
            ]
        return cls(*({one.partition: offset for one, offset in offsets.items()} for offsets in asked))


@dataclass(slots=True)
class CarryOver:
    """Moves what `windows` has restored from `known` to `after`, the same topics with more partitions."""

    settings: Settings
    windows: WindowStore
    known: KnownTopics
    after: KnownTopics
    positions: Mapping[int, CommittedPosition]
    bounds: Bounds
    partitioner: Partitioner
    former: Partitioner
    moves: WindowMoves = field(init=False)

    def __post_init__(self) -> None:
        self.moves = WindowMoves(self.windows, self.partitioner, self.bounds.ends)

    @classmethod
    async def planned(
        cls, settings: Settings, windows: WindowStore, known: KnownTopics, after: KnownTopics, partitions: int
    ) -> Self:
        """What is to be moved, as things are now, of an input with so many partitions.

        Raises:
            NotPossibleError: What is finished or where users belong cannot be told.
        """
        positions, bounds = await committed_positions(settings), await Bounds.of(settings, partitions)
        if bounds.committed_ends != bounds.ends:
            raise NotPossibleError(
                f"a transaction is open on {known.source}: stop its producer first. What a `repartition` "
                "that was killed has left open ends when it is run again, without --dry-run"
            )
        if unknown := [
            one for one in windows.partitions if one not in positions and any(windows.windows(one))
        ]:
            raise NotPossibleError(
                f"what was scored of partitions {unknown} is not known: their offsets are gone"
            )
        name = _partitioner(settings, windows, known.partitions)
        former, partitioner = Partitioner(name, known.partitions), Partitioner(name, after.partitions)
        return cls(settings, windows, known, after, positions, bounds, partitioner, former)

    def count(self) -> Counter[str]:
        """How many `windows` there are, how many are `moved`, and how many messages are `waiting`."""
        places = Counter(before != to for before, to, _user, _window in self._places())
        waiting = sum(end - self._next(number) for number, end in self.bounds.ends.items())
        return Counter(windows=places.total(), moved=places[True], waiting=waiting)

    async def look_through(self, largest: int) -> int:
        """Look at every message that waits; how many have neither key nor value, which are left out.

        Raises:
            NotPossibleError: One is larger than the topic takes by now, which is `largest` bytes.
        """
        empty = 0
        async with aclosing(self._waiting()) as fetches:
            async for records in fetches:
                empty += sum(map(_is_empty, records))
                for record in records:
                    _check_size(record, largest)
        return empty

    async def commit(self) -> None:
        """Move it, all or nothing.

        Raises:
            NotPossibleError: Producers still write.
            KafkaError: Nothing is moved.
        """
        async with _producer(self.settings) as producer, producer.transaction():
            await self._carry_windows(producer)
            await self._check_unchanged(await self._carry_messages(producer))
            await producer.send_offsets_to_transaction(self._offsets(), self.settings.app_id)

    def _offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """The group's, past all that was there: what of it waited comes again behind them."""
        metadata = moved_metadata(self.after.partitions)
        return {
            TopicPartition(self.settings.transactions_topic, number): OffsetAndMetadata(end, metadata)
            for number, end in self.bounds.ends.items()
        }

    async def _check_unchanged(self, again: Counter[int]) -> None:
        now = (await Bounds.of(self.settings, self.after.partitions)).ends
        if now != {number: end + again[number] for number, end in self.bounds.ends.items()}:
            source = self.settings.transactions_topic
            raise NotPossibleError(f"something still writes to {source}: stop all producers first")

    async def _carry_windows(self, producer: AIOKafkaProducer) -> None:
        places = (place for place in self._places() if place[0] != place[1])
        while some := list(islice(places, _AT_A_TIME)):
            await self._write(producer, self.moves.changes(some))
        said = (TOPICS_KEY, self.after.encode())
        await self._write(producer, {number: [said] for number in range(self.after.partitions)})

    async def _write(self, producer: AIOKafkaProducer, changes: Changes) -> None:
        for number, its in changes.items():
            messages: list[Message] = [(key, value, []) for key, value in its]
            for batch in batches(messages, UNCOMPRESSED):
                await (await producer.send_batch(batch, self.settings.changelog_topic, partition=number))

    async def _carry_messages(self, producer: AIOKafkaProducer) -> Counter[int]:
        """Send what waits again; how many there were to each partition.

        Those on the partition that was theirs come first. Those that are elsewhere came after the partitions
        had been added already, and so after all others of their users.
        """
        again: Counter[int] = Counter()
        for are_home in (True, False):
            async with aclosing(self._waiting()) as fetches:
                async for records in fetches:
                    there = [record for record in records if not _is_empty(record)]
                    chosen = [record for record in there if self._is_home(record) is are_home]
                    again.update(await self._send_again(producer, chosen))
        return again

    def _is_home(self, record: ConsumerRecord[bytes, bytes]) -> bool:
        return record.key is None or self.former.of(record.key) == record.partition

    async def _send_again(self, producer: AIOKafkaProducer, records: Records) -> list[int]:
        """Send these to the partitions of their keys, which are returned; without one, to where they are."""
        numbers = [one.partition if one.key is None else self.partitioner.of(one.key) for one in records]
        sent = [
            await producer.send(one.topic, one.value, one.key, number, one.timestamp, [*one.headers])
            for one, number in zip(records, numbers, strict=True)
        ]
        for one in sent:
            await one
        return numbers

    async def _waiting(self) -> AsyncGenerator[Records, None]:
        """What the group has not finished, a partition after the other."""
        for number, end in self.bounds.ends.items():
            if (start := self._next(number)) == end:
                continue
            partition = TopicPartition(self.settings.transactions_topic, number)
            async with AIOKafkaConsumer(**consumer_options(self.settings, "waiting")) as consumer:
                consumer.assign([partition])
                consumer.seek(partition, start)
                async with aclosing(read_until(consumer, partition, end)) as fetches:
                    async for records in fetches:
                        yield [record for record in records if record.offset < end]

    def _places(self) -> Iterator[Place]:
        return self.moves.places(self.windows.partitions)

    @property
    def finished(self) -> list[int]:
        """The offset of each former partition up to which it was scored."""
        return [self._next(number) for number in range(self.known.partitions)]

    def _next(self, number: int) -> int:
        position = self.positions.get(number)
        return self.bounds.beginnings[number] if position is None else position.next_offset


def _is_empty(record: ConsumerRecord[bytes, bytes]) -> bool:
    """Whether there is nothing to it; aiokafka's producer sends no such record."""
    return record.key is None and record.value is None


def _check_size(record: ConsumerRecord[bytes, bytes], largest: int) -> None:
    """Look whether the topic takes the record again, on its own and compressed if it is a large one.

    Raises:
        NotPossibleError: It does not.
    """
    if all(_size(record, compression) > largest for compression in (UNCOMPRESSED, ZSTD)):
        raise NotPossibleError(
            f"{record.topic} partition {record.partition} offset {record.offset}: the message has "
            f"{_size(record, ZSTD)} bytes, compressed, and the topic takes {largest}: raise its "
            "max.message.bytes first"
        )


def _size(record: ConsumerRecord[bytes, bytes], compression: int) -> int:
    """The bytes of the record in a batch of its own."""
    batch = DefaultRecordBatchBuilder(2, compression, 1, -1, -1, 0, _NO_LIMIT)
    batch.append(0, record.timestamp, record.key, record.value, [*record.headers])
    return len(batch.build())


def _producer(settings: Settings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **client_options(settings, "repartition"),
        transactional_id=f"{settings.app_id}-repartition",
        transaction_timeout_ms=_TRANSACTION_MS,
        max_request_size=_NO_LIMIT,
        compression_type="zstd",  # as small as any that the records came in
    )


async def end_former_transaction(settings: Settings) -> None:
    """Abort the transaction of a `repartition` that was killed, which brokers keep for up to 15 minutes."""
    async with _producer(settings):
        pass


def _partitioner(settings: Settings, windows: WindowStore, partitions: int) -> Name:
    """The name of the producers' partitioner, by where users' windows are.

    Raises:
        NotPossibleError: The windows are elsewhere than the one of the settings puts them.
    """
    users = {
        (user.encode(), number)
        for number in windows.partitions
        for user, _window in islice(windows.windows(number), _SAMPLE)
    }
    if not users:
        return "murmur2" if settings.partitioner == "auto" else settings.partitioner
    fit = best_fit(users, partitions)
    if not fit.is_clear or settings.partitioner not in {"auto", fit.name}:
        raise NotPossibleError(
            f"{fit.name} puts {fit.fitting} of {fit.keys} users where their windows are, the most, and "
            f"TXNWATCH_PARTITIONER is {settings.partitioner}: it has to be what producers use"
        )
    return fit.name
