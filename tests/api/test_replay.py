import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from api.live import history
from api.live.broker import Broker, Topic
from api.live.event_id import EventId
from api.live.frames import event
from api.live.history import Block, History
from api.live.replay import Replay
from api.live.slice import Slice
from api.settings import Settings
from tests.support.installation import until
from tests.support.rows import Made, Worker, made, partition_of, user

ALICE, BOB = user(1), user(3)
MIB = 1 << 20


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    one = Broker(settings)
    yield one
    await one.aclose()


async def slices(broker: Broker, name: str, key: bytes | None) -> list[Slice]:
    """All of the topic's past."""
    topic, ends = await broker.topic(name), await broker.ends(name)
    replay = Replay(broker, readers=1)
    try:
        return [part async for part in to_the_end(replay, topic, dict.fromkeys(ends, 0), ends, key)]
    finally:
        await replay.aclose()


async def to_the_end(
    replay: Replay, topic: Topic, start: dict[int, int], ends: dict[int, int], key: bytes | None
) -> AsyncIterator[Slice]:
    """What a client is sent that comes back to these offsets."""
    place, until = EventId(topic.incarnation, start), EventId(topic.incarnation, ends)
    while place != until:
        yield (part := await replay.read(topic, place, until, key))
        place = part.position.event_id


def rows_of(parts: list[Slice]) -> list[bytes]:
    lines = b"".join(piece for part in parts for piece in part.pieces).split(b"\n")
    return [line[6:] for line in lines if line.startswith(b"data: ")]


async def published(settings: Settings, many: list[Made]) -> None:
    async with Worker(settings.kafka, settings.scored_topic) as worker:
        await worker.publish(*many, each=7)


@pytest.mark.parametrize("everyone", [False, True])
async def test_a_turn_is_bounded_in_bytes_and_the_next_goes_on_after_it(
    settings: Settings, broker: Broker, *, everyone: bool
) -> None:
    """Many rows of one user in one partition, few of another elsewhere."""
    assert partition_of(ALICE) != partition_of(BOB)
    many = [made(BOB if n % 10 == 0 else ALICE, n, meta_data={"long": "x" * 60_000}) for n in range(100)]
    await published(settings, many)
    got = await slices(broker, settings.scored_topic, None if everyone else ALICE.encode())
    assert all(sum(map(len, part.pieces)) < MIB + 61_000 for part in got)
    for one in (ALICE, BOB):
        expected = [each.row for each in many if each.txn.user_id == one and (everyone or one == ALICE)]
        assert [row for row in rows_of(got) if one.encode() in row] == expected


async def test_short_rows_come_in_few_turns(settings: Settings, broker: Broker) -> None:
    await published(settings, [made(ALICE, n) for n in range(600)])
    got = await slices(broker, settings.scored_topic, ALICE.encode())
    assert len(rows_of(got)) == 600
    assert len([part for part in got if part.pieces]) <= 3


async def test_however_many_come_back_what_they_missed_is_read_once(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.history._BLOCK_RECORDS", 100)
    users = [user(n) for n in range(40)]
    many = [made(one, n) for n in range(20) for one in users]
    await published(settings, many)
    read = _counting(broker, monkeypatch)
    topic, ends = await broker.topic(settings.scored_topic), await broker.ends(settings.scored_topic)
    replay = Replay(broker, readers=2)

    async def missed(number: int) -> list[bytes]:
        """What a client of one user is sent, from some place near the beginning."""
        start, key = dict.fromkeys(ends, number % 3), users[number].encode()
        return rows_of([part async for part in to_the_end(replay, topic, start, ends, key)])

    try:
        sent = await asyncio.gather(*(missed(number) for number in range(len(users))))
    finally:
        await replay.aclose()
    for one, rows in zip(users, sent, strict=True):
        expected = [each.row for each in many if each.txn.user_id == one]
        assert rows == expected[len(expected) - len(rows) :]
        assert len(rows) > len(expected) - 3
    assert len(many) - 12 <= sum(read) < 2 * len(many)


def _counting(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each poll of the broker's consumers brought."""
    read: list[int] = []
    consumer = broker.consumer

    def counting(**options: Any) -> AIOKafkaConsumer:
        one = consumer(**options)
        getmany = one.getmany

        async def counted(*partitions: Any, **asked: Any) -> Any:
            batches = await getmany(*partitions, **asked)
            read.append(sum(map(len, batches.values())))
            return batches

        one.getmany = counted
        return one

    monkeypatch.setattr(broker, "consumer", counting)
    return read


async def test_who_hears_all_shares_what_is_sent_wherever_each_comes_back(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was cut off a little further on in one and the same stream."""
    framed: list[bytes] = []

    def counted(row: bytes, position: str) -> bytes:
        framed.append(row)
        return event(row, position)

    for module in ("slice", "replay"):
        monkeypatch.setattr(f"api.live.{module}.SLICE_FRAMES", 50)
    monkeypatch.setattr("api.live.slice.event", counted)
    many = [made(user(number % 40), number) for number in range(800)]
    await published(settings, many)
    topic, ends = await broker.topic(settings.scored_topic), await broker.ends(settings.scored_topic)
    replay = Replay(broker, readers=2)
    starts = [{one: (number + one) // len(ends) for one in ends} for number in range(20)]

    async def missed(start: dict[int, int]) -> list[bytes]:
        return rows_of([part async for part in to_the_end(replay, topic, start, ends, None)])

    try:
        sent = await asyncio.gather(*map(missed, starts))
    finally:
        await replay.aclose()
    for start, rows in zip(starts, sent, strict=True):
        for number in ends:
            home = {each.row for each in many if partition_of(each.txn.user_id) == number}
            expected = [each.row for each in many if each.row in home]
            got = [row for row in rows if row in home]
            assert got == expected[len(expected) - len(got) :]
            assert len(expected) - len(got) <= start[number]
    assert len(framed) < len(many) + 2 * 50 * len(starts)  # two slices until it is where another one is


async def test_clients_of_many_partitions_go_on_when_their_time_is_up_in_the_midst_of_them(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass through all partitions takes several turns, and more blocks than there were places for."""
    monkeypatch.setattr("api.live.replay._SLICE_SECONDS", 0.2)
    _slowly(monkeypatch, 0.01)
    await _spread(settings, partitions=100, each=5)
    topic, ends = await broker.topic(settings.scored_topic), await broker.ends(settings.scored_topic)
    read, replay = _counting(broker, monkeypatch), Replay(broker, readers=4)

    async def came_back(number: int) -> int:
        """How many frames a client is sent that comes a little after the one before."""
        await asyncio.sleep(number / 20)
        start = dict.fromkeys(ends, 0)
        return len(rows_of([part async for part in to_the_end(replay, topic, start, ends, None)]))

    try:
        async with asyncio.timeout(20):
            assert await asyncio.gather(*map(came_back, range(20))) == [500] * 20
    finally:
        await replay.aclose()
    assert 500 <= sum(read) < 600


def _slowly(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    read = history._block  # noqa: SLF001 - made slower

    async def slow(*asked: Any) -> history.Block:
        await asyncio.sleep(seconds)
        return await read(*asked)

    monkeypatch.setattr(history, "_block", slow)


async def _spread(settings: Settings, *, partitions: int, each: int) -> None:
    """Give the topic so many partitions, and each so many records."""
    topic = settings.scored_topic
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.create_partitions({topic: NewPartitions(partitions)})

        async def are_there() -> bool:
            [known] = await admin.describe_topics([topic])
            return len(known["partitions"]) == partitions

        await until(are_there, within=10)
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        for number in range(partitions):
            for _ in range(each):
                await producer.send(topic, b"{}", partition=number)


async def test_what_was_read_is_not_kept_for_long(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.history._KEPT_SECONDS", 0.5)
    await published(settings, [made(ALICE, n) for n in range(10)])
    read = _counting(broker, monkeypatch)
    topic, ends = await broker.topic(settings.scored_topic), await broker.ends(settings.scored_topic)
    [partition] = [one for one in topic.partitions if ends[one.partition]]
    one = History(broker, readers=1)

    async def reads_again() -> bool:
        block = await one.block(topic, partition, 0, ends[partition.partition])
        assert block is not None
        assert len(block.all) == 10
        return sum(read) == 20

    try:
        assert not await reads_again()
        await until(reads_again, within=10)
    finally:
        await one.aclose()


@pytest.mark.timeout(60)
async def test_who_comes_right_as_a_read_ends_is_not_kept_from_all_others(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody has been told that it ended: who waited for it then had the loop turn for ever."""
    await published(settings, [made(ALICE, n) for n in range(10)])
    topic, ends = await broker.topic(settings.scored_topic), await broker.ends(settings.scored_topic)
    [partition] = [one for one in topic.partitions if ends[one.partition]]
    end, coming = ends[partition.partition], list[asyncio.Task[Block | None]]()
    read = History._read  # noqa: SLF001 - the moment is inside of it

    async def read_and_come(self: History, *arguments: Any) -> bool:
        was_read = await read(self, *arguments)
        if not coming:
            coming.append(asyncio.create_task(self.block(topic, partition, 5, end)))
        return was_read

    monkeypatch.setattr(History, "_read", read_and_come)
    one = History(broker, readers=1)
    try:
        first = await one.block(topic, partition, 0, 5)
        assert first is not None
        assert len(first.all) == 5
        block = await coming[0]
    finally:
        await one.aclose()
    assert block is not None
    assert (block.all[0][0], len(block.all)) == (5, 5)
