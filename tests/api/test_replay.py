from collections.abc import AsyncIterator

import pytest

from api.live.broker import Broker
from api.live.event_id import EventId
from api.live.replay import Replay, Slice
from api.settings import Settings
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
    replay, got = Replay(broker, readers=1), [Slice([], dict.fromkeys(ends, 0))]
    try:
        while got[-1].offsets != ends:
            place = EventId(topic.incarnation, got[-1].offsets)
            got.append(await replay.read(topic, place, EventId(topic.incarnation, ends), key))
    finally:
        await replay.aclose()
    return got[1:]


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
    assert all(sum(map(len, part.frames)) < MIB + 61_000 for part in got)
    frames = b"".join(frame for part in got for frame in part.frames)
    for one in (ALICE, BOB):
        expected = [each.row for each in many if each.txn.user_id == one and (everyone or one == ALICE)]
        seen = [
            line[6:] for line in frames.split(b"\n") if line.startswith(b"data: ") and one.encode() in line
        ]
        assert seen == expected


async def test_short_rows_come_in_few_turns(settings: Settings, broker: Broker) -> None:
    await published(settings, [made(ALICE, n) for n in range(600)])
    got = await slices(broker, settings.scored_topic, ALICE.encode())
    assert sum(len(part.frames) for part in got) == 600
    assert len([part for part in got if part.frames]) <= 3
