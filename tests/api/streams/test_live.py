"""Streams of what comes now."""

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from api.live.broker import Broker
from api.live.event_id import parse
from api.live.listeners import Frame
from api.settings import Settings
from tests.support.events import POSITION, listening
from tests.support.rows import FLAG, Worker, made, partition_of, store
from tests.support.serving import PATIENCE, Client, counted, serving, until
from tests.support.streams import ALICE, BOB, FEED_WAIT, PATH


async def test_a_stream_starts_with_when_to_retry_and_an_event_that_says_where_it_is(client: Client) -> None:
    async with client.get(PATH) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        opening = await response.content.readuntil(b"\n\n")
    position = rb"event: position\nid: ([\w.-]+)\ndata: {}\n\n"
    matched = re.fullmatch(rb"retry: \d+\n" + position, opening)
    assert matched
    assert parse(matched[1].decode()).offsets == dict.fromkeys(range(4), 0)


async def test_each_client_gets_its_users_rows_in_their_order(client: Client, worker: Worker) -> None:
    many = [made(one, n) for n in range(20) for one in (ALICE, BOB)]
    async with listening(client, PATH) as alice, listening(client, f"/sse/transactions/{BOB.upper()}") as bob:
        await worker.publish(*many, each=3)
        assert await alice.rows(20) == [one.shown for one in many[::2]]
        assert await bob.rows(20) == [one.shown for one in many[1::2]]


async def test_a_live_row_is_the_row_of_the_pages(client: Client, worker: Worker, database: str) -> None:
    one = made(
        ALICE, after=timedelta(microseconds=7), flag=FLAG, meta_data={"é": [1.50, {"\U0001f600": None}]}
    )
    await store(database, [one])
    async with listening(client, PATH) as stream:
        await worker.publish(one)
        [live] = await stream.rows(1)
    async with client.get("/transactions", params={"user_id": ALICE, "from_date": "2018-01-01"}) as response:
        assert (await response.json())["transactions"] == [live]


async def test_anomalies_are_everyones_or_one_users(client: Client, settings: Settings) -> None:
    many = [made(one, n, flag=FLAG) for n in range(5) for one in (ALICE, BOB)]
    async with (
        Worker(settings.kafka, settings.anomalies_topic) as worker,
        listening(client, "/sse/anomalies") as everyone,
        listening(client, f"/sse/anomalies?user_id={BOB}") as bob,
    ):
        await worker.publish(*many)
        rows = await everyone.rows(10)
        assert sorted(row["id"] for row in rows) == sorted(one.txn.id for one in many)
        assert await bob.rows(5) == [one.shown for one in many[1::2]]


async def test_what_the_worker_gave_up_is_never_seen(client: Client, worker: Worker) -> None:
    async with listening(client, PATH) as stream:
        start = stream.last_id
        await worker.publish(made(ALICE, 1))
        await worker.abort(made(ALICE, 2), made(ALICE, 3))
        await worker.publish(made(ALICE, 4))
        expected = [made(ALICE, 1).shown, made(ALICE, 4).shown]
        assert await stream.rows(2) == expected
    async with listening(client, PATH, start) as stream:
        assert await stream.rows(2) == expected


def test_heartbeats_come_before_clients_that_wait_for_ten_seconds_give_up(settings: Settings) -> None:
    assert settings.heartbeat_seconds < 9


async def test_a_quiet_stream_has_heartbeats_that_keep_its_place(settings: Settings, worker: Worker) -> None:
    async with serving(settings, heartbeat_seconds=0.2) as client, listening(client, PATH) as stream:
        await worker.publish(*(made(BOB, n) for n in range(3)))
        async with asyncio.timeout(PATIENCE):
            while parse(stream.last_id).offsets[partition_of(BOB)] < 6:  # three rows and their markers
                assert (await stream.block()).name == POSITION
        assert stream.comments == []


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The waits of the consumers that are made from now on."""
    made_for: list[int] = []
    consumer = Broker.consumer

    def counting(self: Broker, *, wait_milliseconds: int, **more: Any) -> Any:
        made_for.append(wait_milliseconds)
        return consumer(self, wait_milliseconds=wait_milliseconds, **more)

    monkeypatch.setattr(Broker, "consumer", counting)
    return made_for


async def test_one_consumer_serves_all_clients_and_rests_without_them(
    settings: Settings, worker: Worker, consumers: list[int]
) -> None:
    async with serving(settings, linger_seconds=0.1) as client:
        assert consumers == []
        async with listening(client, PATH) as one, listening(client, PATH) as other:
            await worker.publish(made(ALICE))
            assert await one.rows(1) == await other.rows(1)
            assert await counted(client, "txnwatch_api_sse_clients") == 2
        assert sorted(consumers) == [0, FEED_WAIT]  # the questions', the feed's
        await until(client, "txnwatch_api_sse_clients", 0)


async def test_each_topic_has_one_consumer_for_all_who_hear_of_it(
    settings: Settings, worker: Worker, consumers: list[int]
) -> None:
    one = made(ALICE, flag=FLAG)
    paths = (PATH, PATH, f"/sse/transactions/{BOB}", "/sse/anomalies", f"/sse/anomalies?user_id={ALICE}")
    async with (
        Worker(settings.kafka, settings.anomalies_topic) as flagging,
        serving(settings) as client,
        AsyncExitStack() as stack,
    ):
        streams = [await stack.enter_async_context(listening(client, path)) for path in paths]
        await worker.publish(one)
        await flagging.publish(one)
        for stream in (*streams[:2], *streams[3:]):
            assert await stream.rows(1) == [one.shown]
        assert consumers.count(FEED_WAIT) == 2


async def test_a_frame_is_made_once_however_many_hear_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[bytes] = []

    def counting(raw: bytes) -> Frame:
        frames.append(raw)
        return Frame(raw)

    monkeypatch.setattr("api.live.feed.Frame", counting)
    mine = f"/sse/anomalies?user_id={ALICE}"
    many = [made(ALICE, n, flag=FLAG) for n in range(3)]
    async with (
        Worker(settings.kafka, settings.anomalies_topic) as worker,
        serving(settings) as client,
        listening(client, mine) as one,
        listening(client, mine) as other,
        listening(client, "/sse/anomalies") as everyone,
    ):
        streams = (one, other, everyone)
        await worker.publish(many[0])
        for stream in streams:  # from here on all of them are live
            assert await stream.rows(1) == [many[0].shown]
        frames.clear()
        await worker.publish(*many[1:])
        for stream in streams:
            assert await stream.rows(2) == [one.shown for one in many[1:]]
        assert len(frames) == 2


async def test_a_client_that_leaves_is_forgotten_at_once(settings: Settings) -> None:
    async with serving(settings) as client:  # heartbeats are 8 s apart
        async with listening(client, PATH):
            await until(client, "txnwatch_api_sse_clients", 1)
        async with asyncio.timeout(5):
            await until(client, "txnwatch_api_sse_clients", 0)


async def test_without_a_scored_topic_the_stream_says_that_it_is_off(settings: Settings) -> None:
    async with serving(settings, scored_topic="") as client:
        async with client.get(PATH) as response:
            assert (response.status, response.content_type) == (503, "application/problem+json")
            assert "TXNWATCH_SCORED_TOPIC" in (await response.json())["detail"]
        async with listening(client, "/sse/anomalies"):
            pass
