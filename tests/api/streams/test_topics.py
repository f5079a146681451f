"""Live feeds whose topic changes under them, and many clients that come back at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from api.live.broker import Broker
from api.live.event_id import parse
from api.settings import Settings
from tests.support.events import listening
from tests.support.rows import Worker, made
from tests.support.serving import PATIENCE, serving
from tests.support.streams import ALICE, PATH


@pytest.fixture
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    one = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await one.start()
    yield one
    await one.close()


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Worker]:
    async with Worker(settings.kafka, settings.scored_topic) as worker:
        yield worker


async def partitions(admin: AIOKafkaAdminClient, settings: Settings) -> int:
    [topic] = await admin.describe_topics([settings.scored_topic])
    return len(topic["partitions"])


async def test_a_partition_that_is_added_is_heard_from_its_beginning(
    settings: Settings, admin: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.follower._METADATA_MILLISECONDS", 100)
    async with serving(settings) as client, listening(client, PATH) as stream:
        async with publishing(settings) as worker:
            await worker.publish(made(ALICE, 1))
        assert await stream.rows(1) == [made(ALICE, 1).shown]
        await admin.create_partitions({settings.scored_topic: NewPartitions(64)})
        async with asyncio.timeout(PATIENCE):
            while await partitions(admin, settings) < 64:  # noqa: ASYNC110 - it is the broker's
                await asyncio.sleep(0.05)
        async with publishing(settings) as worker:
            await worker.publish(made(ALICE, 2), made(ALICE, 3), partition=63)
        assert await stream.rows(2) == [made(ALICE, n).shown for n in (2, 3)]
        last_id = stream.last_id
        assert parse(last_id).offsets[63] >= 2
    async with serving(settings) as client, listening(client, PATH, last_id) as stream:
        async with publishing(settings) as worker:
            await worker.publish(made(ALICE, 4), partition=63)
        assert await stream.rows(1) == [made(ALICE, 4).shown]


async def test_a_topic_that_is_made_anew_is_told_as_a_gap_and_heard_on(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    async with serving(settings) as client, listening(client, PATH) as stream:
        async with publishing(settings) as worker:
            await worker.publish(*(made(ALICE, n) for n in range(3)))
        assert len(await stream.rows(3)) == 3
        await admin.delete_topics([settings.scored_topic])
        async with asyncio.timeout(PATIENCE):
            while settings.scored_topic in await admin.list_topics():  # noqa: ASYNC110 - it is the broker's
                await asyncio.sleep(0.05)
        await admin.create_topics([NewTopic(settings.scored_topic, 4, 1)])
        gap = await stream.next()
        assert gap.name == "gap"
        assert {one["reason"] for one in gap.data["missing"]} == {"other topic"}
        async with publishing(settings) as worker:
            await worker.publish(made(ALICE, 4))
        assert await stream.rows(1) == [made(ALICE, 4).shown]


async def test_clients_that_come_back_together_ask_kafka_a_few_times(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    bounds = Broker.bounds

    async def counting(self: Broker, name: str) -> tuple[dict[int, int], dict[int, int]]:
        asked.append(name)
        return await bounds(self, name)

    monkeypatch.setattr(Broker, "bounds", counting)
    async with serving(settings) as client:
        async with listening(client, PATH) as stream:
            last_id = stream.last_id
        async with AsyncExitStack() as stack, publishing(settings) as worker:
            streams = await asyncio.gather(
                *(stack.enter_async_context(listening(client, PATH, last_id)) for _ in range(100))
            )
            await worker.publish(made(ALICE))
            for stream in streams:
                assert await stream.rows(1) == [made(ALICE).shown]
    assert 0 < len(asked) < 30
