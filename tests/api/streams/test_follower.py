"""The follower of a topic, without the streams that it feeds: where it starts, and how long it lets wait."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing

import pytest
from aiokafka import ConsumerRecord

from api.live.broker import Broker, Topic
from api.live.follower import Follower
from api.settings import Settings
from api.web.problems import Unavailable
from tests.support.installation import until
from tests.support.rows import Worker, made
from tests.support.serving import PATIENCE, changed, settings_from
from tests.support.streams import ALICE


class Switched(Broker):
    """A broker that can be away."""

    away = False

    async def topic(self, name: str) -> Topic:
        self.fail_if_away()
        return await super().topic(name)

    def fail_if_away(self) -> None:
        if self.away:
            raise Unavailable("Kafka does not answer.")


@asynccontextmanager
async def following(settings: Settings, broker: Switched) -> AsyncIterator[Follower]:
    """A follower of the scored topic whose reading fails while the broker is away."""

    async def publish(records: Iterable[ConsumerRecord]) -> None:
        broker.fail_if_away()
        list(records)

    follower = Follower(
        settings.scored_topic, broker, settings, publish=publish, report_gap=lambda _at, _missing: None
    )
    try:
        async with follower.running():
            yield follower
    finally:
        await broker.aclose()


async def until_it_has_forgotten(follower: Follower) -> None:
    async def forgotten() -> bool:
        try:
            return not follower.topic.name
        except Unavailable:
            return True

    await until(forgotten, within=PATIENCE)


async def test_who_listens_after_an_outage_that_outlasted_all_others_starts_at_the_end(
    settings: Settings, worker: Worker
) -> None:
    broker = Switched(changed(settings, linger_seconds=0.05))
    async with following(changed(settings, linger_seconds=0.05), broker) as follower:
        async with follower.listening():
            await worker.publish(made(ALICE, 0))
            assert await follower.moves()
            broker.away = True
            await worker.publish(made(ALICE, 1))
        await until_it_has_forgotten(follower)
        broker.away = False
        await worker.publish(*(made(ALICE, n) for n in range(2, 10)))
        async with follower.listening():
            assert follower.event_id.offsets == await broker.ends(follower.name)


@asynccontextmanager
async def emptied(server: asyncio.Server) -> AsyncIterator[asyncio.Server]:
    """A server that sees its clients off, closed at the end, and all that has connected with it.

    What is left to the end of the loop is found by the garbage collector, in the middle of another test.
    """
    ended = asyncio.create_task(server.wait_closed())  # before Python 3.12 it waits only if begun before
    try:
        yield server
    finally:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write_eof()
        await reader.read()  # who came before this one has been let in
        writer.close()
        server.close()
        await ended


async def test_a_listener_waits_no_longer_for_coming_while_another_waits() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        with closing(writer):
            await reader.read()

    async with emptied(await asyncio.start_server(serve, "127.0.0.1")) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        settings = settings_from({"KAFKA_BOOTSTRAP_SERVERS": address}, dependency_seconds=1.5)
        async with following(settings, Switched(settings)) as follower:
            first = asyncio.create_task(_turned_away(follower))
            await asked.wait()
            async with asyncio.timeout(settings.dependency_seconds * 1.6):
                await _turned_away(follower)
            await first


async def _turned_away(follower: Follower) -> None:
    with pytest.raises(Unavailable):
        async with follower.listening():
            pass
