"""Clients that come back go on where they were, over a real topic."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from api.live.broker import Broker
from api.settings import Settings
from tests.support.events import listening
from tests.support.rows import FLAG, Worker, made
from tests.support.serving import Client, serving
from tests.support.streams import ALICE, BOB, CAROL, FEED_WAIT, PATH

_STANDSTILL_SECONDS = 60.0


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_client_comes_back_to_where_it_was_also_after_a_restart(
    settings: Settings, worker: Worker, *, by_header: bool
) -> None:
    async with serving(settings) as client, listening(client, PATH) as stream:
        await worker.publish(*(made(one, n) for n in range(4) for one in (ALICE, BOB)))
        assert await stream.rows(2) == [made(ALICE, n).shown for n in range(2)]
        seen = stream.last_id
    await worker.publish(*(made(one, n) for n in range(4, 30) for one in (ALICE, BOB, CAROL)), each=5)
    path, header = (PATH, seen) if by_header else (f"{PATH}?last_event_id={seen}", "")
    async with serving(settings) as client, listening(client, path, header) as stream:
        assert await stream.rows(28) == [made(ALICE, n).shown for n in range(2, 30)]
        await worker.publish(made(ALICE, 30))
        assert await stream.rows(1) == [made(ALICE, 30).shown]


async def test_the_header_outweighs_the_older_parameter(client: Client, worker: Worker) -> None:
    async with listening(client, PATH) as stream:
        first = stream.last_id
        await worker.publish(made(ALICE, 1), made(ALICE, 2))
        await stream.rows(1)
        second = stream.last_id
    async with listening(client, f"{PATH}?last_event_id={first}", second) as stream:
        assert await stream.rows(1) == [made(ALICE, 2).shown]


async def test_both_topics_have_a_past(
    client: Client, settings: Settings, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    one = made(ALICE, 1, flag=FLAG)
    async with Worker(settings.kafka, settings.anomalies_topic) as flagging:
        for path, publisher in {PATH: worker, "/sse/anomalies": flagging}.items():
            async with listening(client, path) as stream:
                start = stream.last_id
            await publisher.publish(one)
            for _ in range(2):
                async with listening(client, path, start) as stream:
                    assert await stream.rows(1) == [one.shown]
    assert "replay" not in caplog.text  # no slice failed and was tried again


async def test_a_client_that_saw_only_the_opening_misses_nothing(settings: Settings, worker: Worker) -> None:
    async with serving(settings) as client, listening(client, PATH) as stream:
        start = stream.last_id
    await worker.publish(made(ALICE, 1))
    async with serving(settings) as client, listening(client, PATH, start) as stream:
        assert await stream.rows(1) == [made(ALICE, 1).shown]


async def test_coming_back_right_before_a_marker_needs_no_record(client: Client, worker: Worker) -> None:
    async with listening(client, PATH) as stream:
        await worker.publish(made(ALICE, 1))
        await stream.rows(1)
        seen = stream.last_id
    async with listening(client, PATH, seen) as stream:
        await worker.publish(made(ALICE, 2))
        assert await stream.rows(1) == [made(ALICE, 2).shown]


@pytest.mark.timeout(600)  # however slow the machine is, somebody gets a row every now and then
async def test_clients_that_come_and_go_under_load_see_every_row_once_in_order(
    settings: Settings, worker: Worker
) -> None:
    rows, users = 60, (ALICE, BOB, CAROL)
    loop = asyncio.get_running_loop()

    async def publishing() -> None:
        for start in range(0, rows, 5):
            await worker.publish(*(made(one, n) for n in range(start, start + 5) for one in users), each=4)

    async def client_of(one: str, client: Client, stay: int) -> list[str]:
        seen: list[str] = []
        last_id = start[one]
        while len(seen) < rows:
            async with listening(client, f"/sse/transactions/{one}", last_id) as stream:
                for _ in range(min(stay, rows - len(seen))):
                    row = (await stream.next_whenever()).data
                    assert row["user_id"] == one
                    seen.append(row["id"])
                    progress.reschedule(loop.time() + _STANDSTILL_SECONDS)
                last_id = stream.last_id
        return seen

    async with serving(settings, linger_seconds=0.05) as client, serving(settings) as other:
        start: dict[str, str] = {}
        for one in users:
            async with listening(client, f"/sse/transactions/{one}") as stream:
                start[one] = stream.last_id
        asked = [(one, at, stay) for one in users for at, stay in ((client, 3), (client, 17), (other, 8))]
        async with asyncio.timeout(_STANDSTILL_SECONDS) as progress, asyncio.TaskGroup() as tasks:
            tasks.create_task(publishing())
            results = [(one, tasks.create_task(client_of(one, at, stay))) for one, at, stay in asked]
    for one, task in results:
        assert task.result() == [made(one, n).txn.id for n in range(rows)]


async def test_a_client_far_behind_catches_up_in_several_slices(
    settings: Settings, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.slice.SLICE_FRAMES", 50)
    monkeypatch.setattr("api.live.catch_up._NEAR", 20)
    async with serving(settings) as client:
        async with listening(client, PATH) as stream:
            start = stream.last_id
        await worker.publish(*(made(ALICE, n) for n in range(400)), each=40)
        async with listening(client, PATH, start) as stream:
            assert await stream.rows(400) == [made(ALICE, n).shown for n in range(400)]


async def test_a_client_that_was_served_further_elsewhere_is_sent_nothing_twice(
    settings: Settings, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = _gated_feed(monkeypatch)
    async with serving(settings) as behind, listening(behind, PATH) as first:
        async with serving(settings) as ahead, listening(ahead, PATH) as stream:
            await worker.publish(*(made(ALICE, n) for n in range(5)))
            assert len(await stream.rows(5)) == 5
        async with listening(behind, PATH, stream.last_id) as returned:
            gate.set()
            await worker.publish(made(ALICE, 5))
            assert await first.rows(6) == [made(ALICE, n).shown for n in range(6)]
            assert await returned.rows(1) == [made(ALICE, 5).shown]


def _gated_feed(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The first feed to start reads nothing until this event is set."""
    gate, consumer = asyncio.Event(), Broker.consumer
    gated: list[AIOKafkaConsumer] = []

    def gating(self: Broker, *, wait_milliseconds: int, **more: Any) -> AIOKafkaConsumer:
        one = consumer(self, wait_milliseconds=wait_milliseconds, **more)
        if wait_milliseconds == FEED_WAIT and not gated:
            gated.append(one)
            getmany = one.getmany

            async def late(**asked: Any) -> Any:
                await gate.wait()
                return await getmany(**asked)

            one.getmany = late
        return one

    monkeypatch.setattr(Broker, "consumer", gating)
    return gate
