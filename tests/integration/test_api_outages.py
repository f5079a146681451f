"""The API while Kafka, Postgres and Redis die and come back: on services of its own."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from api.settings import Settings
from infra.migrate import migrate
from infra.runtime.settings import Settings as TopicSettings
from infra.topics import ensure_topics
from tests.support.events import POSITION, listening
from tests.support.faults.outages import Services
from tests.support.rows import Worker, made, store, user
from tests.support.serving import Client, serving, settings_from

ALICE = user(1)
PATH = f"/sse/transactions/{ALICE}"
SECONDS = 60


@pytest.fixture
async def settings(own_services: Services) -> Settings:
    addresses = own_services.addresses
    await migrate(addresses.postgres)
    await ensure_topics(TopicSettings(kafka=addresses.kafka))
    return settings_from(addresses.as_env(), heartbeat_seconds=0.5, dependency_seconds=2.0)


@asynccontextmanager
async def dead(services: Services, name: str) -> AsyncIterator[None]:
    """The service is killed, and is back after the block."""
    await services.end(name, signal.SIGKILL)
    yield
    await services.start()


async def becomes(client: Client, path: str, status: int) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            async with client.get(path) as response:
                if response.status == status:
                    return
            await asyncio.sleep(0.1)


async def publish(settings: Settings, *numbers: int) -> None:
    async with Worker(settings.kafka, settings.scored_topic) as worker:
        await worker.publish(*(made(ALICE, n) for n in numbers))


async def test_streams_outlive_kafkas_absence_without_a_gap(
    settings: Settings, own_services: Services
) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(serving(settings))
        await becomes(client, "/ready", 200)  # a Kafka that has just started is slow to answer at first
        stream = await stack.enter_async_context(listening(client, PATH))
        await publish(settings, 0, 1)
        assert await stream.rows(2) == [made(ALICE, n).shown for n in (0, 1)]
        async with dead(own_services, "kafka"):
            await becomes(client, "/ready", 503)
            async with client.get(PATH, headers={"Last-Event-ID": stream.last_id}) as response:
                # Anything but 200 ends a browser's EventSource for ever.
                assert (response.status, response.content_type) == (200, "text/event-stream")
                assert re.fullmatch(r": unavailable\nretry: \d+\n", await response.text())
            async with client.get(f"{PATH}?last_event_id=x") as response:
                assert response.status == 422
            beats = len(stream.positions)
            while len(stream.positions) < beats + 2:
                assert (await stream.block()).name == POSITION
        await publish(settings, 2, 3)
        assert await stream.rows(2) == [made(ALICE, n).shown for n in (2, 3)]
        await becomes(client, "/ready", 200)
        async with listening(client, PATH, stream.last_id) as returned:
            await publish(settings, 4)
            assert await returned.rows(1) == await stream.rows(1) == [made(ALICE, 4).shown]


async def test_pages_come_back_with_postgres(settings: Settings, own_services: Services) -> None:
    path = f"/transactions?user_id={ALICE}&from_date=2018-01-01"
    async with serving(settings, query_cache_seconds=0) as client:
        await store(settings.postgres.get_secret_value(), [made(ALICE)])
        await becomes(client, path, 200)
        async with dead(own_services, "postgres"):
            await becomes(client, path, 503)
            await becomes(client, "/ready", 503)
            async with client.get("/health") as response:
                assert response.status == 200
        await becomes(client, path, 200)
        await becomes(client, "/ready", 200)


async def test_pages_do_without_redis_and_stats_come_back(settings: Settings, own_services: Services) -> None:
    path = f"/transactions?user_id={ALICE}&from_date=2018-01-01"
    async with serving(settings) as client:
        await becomes(client, f"/users/{ALICE}/stats", 404)
        async with dead(own_services, "valkey"):
            await becomes(client, f"/users/{ALICE}/stats", 503)
            for _ in range(3):
                async with client.get(path) as response:
                    assert response.status == 200
            await becomes(client, "/ready", 200)
        await becomes(client, f"/users/{ALICE}/stats", 404)
