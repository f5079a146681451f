import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from api.broker import Broker
from api.clients import Client as StreamClient
from api.positions import parse
from api.settings import Settings
from api.streams import Streams
from tests.api.events import PATIENCE, listening
from tests.api.rows import FLAG, START, Worker, made, partition_of, store, user
from tests.api.serving import Client, serving

ALICE, BOB, CAROL = user(1), user(2), user(3)
PATH = f"/sse/transactions/{ALICE}"
FEED_WAIT = 500
"""How a feed's consumer is told from the others: by its wait in milliseconds."""


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of the application with topics."""
    async with serving(settings) as one:
        yield one


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """Publishes to the scored topic."""
    async with Worker(settings.kafka, settings.scored_topic) as one:
        yield one


async def counted(client: Client, name: str) -> float:
    """A number of /metrics, its labels summed up."""
    async with client.get("/metrics") as response:
        text = await response.text()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


async def until(client: Client, name: str, expected: float) -> None:
    """Returns when this number of /metrics is as expected."""
    async with asyncio.timeout(PATIENCE):
        while await counted(client, name) != expected:  # noqa: ASYNC110  # it is on the other side of HTTP
            await asyncio.sleep(0.02)


# --- Live ------------------------------------------------------------------------------------


async def test_a_stream_starts_with_a_comment_when_to_retry_and_where_it_is(client: Client) -> None:
    async with client.get(PATH) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        opening = await response.content.readuntil(b"\n\n")
    assert re.fullmatch(rb": txnwatch\nretry: \d+\nid: [0-9a-f]{8}\.0-0\.1-0\.2-0\.3-0\n\n", opening)


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


async def test_a_quiet_stream_has_heartbeats_that_keep_its_place(settings: Settings, worker: Worker) -> None:
    async with serving(settings, heartbeat_seconds=0.2) as client, listening(client, PATH) as stream:
        await worker.publish(*(made(BOB, n) for n in range(3)))
        async with asyncio.timeout(PATIENCE):
            while parse(stream.last_id).offsets[partition_of(BOB)] < 6:  # three rows and their markers
                assert await stream.block() is None
        assert set(stream.comments) == {"txnwatch", "heartbeat"}


async def test_one_consumer_serves_all_clients_and_rests_without_them(
    settings: Settings, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_for: list[int] = []
    consumer = Broker.consumer

    def counting(self: Broker, *, wait_milliseconds: int, **more: Any) -> Any:
        made_for.append(wait_milliseconds)
        return consumer(self, wait_milliseconds=wait_milliseconds, **more)

    monkeypatch.setattr(Broker, "consumer", counting)
    async with serving(settings, linger_seconds=0.1) as client:
        assert made_for == []
        async with listening(client, PATH) as one, listening(client, PATH) as other:
            await worker.publish(made(ALICE))
            assert await one.rows(1) == await other.rows(1)
            assert await counted(client, "txnwatch_api_sse_clients") == 2
        assert sorted(made_for) == [0, FEED_WAIT]  # the questions', the feed's
        await until(client, "txnwatch_api_sse_clients", 0)


async def test_a_client_that_leaves_is_forgotten_at_once(settings: Settings) -> None:
    async with serving(settings) as client:  # heartbeats are 15 s apart
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


# --- Coming back -----------------------------------------------------------------------------


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
    assert "history" not in caplog.text  # no turn failed and was tried again


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


async def test_clients_that_come_and_go_under_load_see_every_row_once_in_order(
    settings: Settings, worker: Worker
) -> None:
    rows, users = 150, (ALICE, BOB, CAROL)

    async def publishing() -> None:
        for start in range(0, rows, 5):
            await worker.publish(*(made(one, n) for n in range(start, start + 5) for one in users), each=4)

    async def client_of(one: str, client: Client, stay: int) -> list[str]:
        seen: list[str] = []
        last_id = start[one]
        while len(seen) < rows:
            async with listening(client, f"/sse/transactions/{one}", last_id) as stream:
                for row in await stream.rows(min(stay, rows - len(seen))):
                    assert row["user_id"] == one
                    seen.append(row["id"])
                last_id = stream.last_id
        return seen

    async with serving(settings, linger_seconds=0.05) as client, serving(settings) as other:
        start: dict[str, str] = {}
        for one in users:
            async with listening(client, f"/sse/transactions/{one}") as stream:
                start[one] = stream.last_id
        asked = [(one, at, stay) for one in users for at, stay in ((client, 3), (client, 17), (other, 8))]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishing())
            results = [(one, tasks.create_task(client_of(one, at, stay))) for one, at, stay in asked]
    for one, task in results:
        assert task.result() == [made(one, n).txn.id for n in range(rows)]


async def test_a_client_far_behind_catches_up_in_several_turns(
    settings: Settings, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.history._TURN_FRAMES", 50)
    monkeypatch.setattr("api.feed._NEAR", 20)
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


# --- Gaps ------------------------------------------------------------------------------------


async def test_what_kafka_no_longer_holds_is_told_as_a_gap(settings: Settings, worker: Worker) -> None:
    number = partition_of(ALICE)
    async with serving(settings) as client:
        async with listening(client, PATH) as stream:
            start = stream.last_id
        await worker.publish(*(made(ALICE, n) for n in range(5)))
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
        await admin.start()
        try:
            await admin.delete_records(
                {TopicPartition(settings.scored_topic, number): RecordsToDelete(before_offset=4)}
            )
        finally:
            await admin.close()
        async with listening(client, PATH, start) as stream:
            gap = await stream.next()
            assert gap.name == "gap"
            missing = {"partition": number, "first": 0, "until": 4, "reason": "expired"}
            assert gap.data["topic"] == settings.scored_topic
            assert gap.data["missing"] == [missing]
            assert gap.data["fetch"].startswith(
                f"/transactions?user_id={ALICE}&from_date=0001-01-01&to_date=2"
            )
            assert await stream.rows(3) == [made(ALICE, n).shown for n in range(2, 5)]
        async with listening(client, PATH, gap.id) as stream:
            assert await stream.rows(3) == [made(ALICE, n).shown for n in range(2, 5)]


async def test_the_query_that_a_gap_names_has_what_is_missing(settings: Settings, database: str) -> None:
    now = datetime.now(UTC)
    ages = (timedelta(days=-1) / 2, timedelta(0), timedelta(days=9000))
    many = [made(ALICE, n, after=now - age - START, flag=FLAG) for n, age in enumerate(ages)]
    await store(database, [*many, made(BOB)])
    async with serving(settings) as client:
        for path, rows in ((PATH, many), ("/sse/anomalies", many), (f"/sse/anomalies?user_id={BOB}", [])):
            async with listening(client, path, "0a1b2c3d.0-1") as stream:
                gap = await stream.next()
            assert gap.name == "gap"
            async with client.get(gap.data["fetch"]) as response:
                assert response.status == 200
                assert (await response.json())["transactions"] == [one.shown for one in rows]


async def test_earliest_is_all_that_kafka_has(client: Client, worker: Worker) -> None:
    await worker.publish(*(made(one, n) for n in range(30) for one in (ALICE, BOB)), each=7)
    for path, last_id in ((PATH, "earliest"), (f"{PATH}?last_event_id=earliest", "")):
        async with listening(client, path, last_id) as stream:
            assert await stream.rows(30) == [made(ALICE, n).shown for n in range(30)]
    async with listening(client, PATH, "earliest") as stream:
        assert await stream.rows(10) == [made(ALICE, n).shown for n in range(10)]
        seen = stream.last_id
    async with listening(client, PATH, seen) as stream:
        assert await stream.rows(20) == [made(ALICE, n).shown for n in range(10, 30)]


async def test_a_position_that_kafka_has_not_reached_is_told_as_a_gap(client: Client, worker: Worker) -> None:
    async with listening(client, PATH) as stream:
        await worker.publish(made(ALICE, 1))
        await stream.rows(1)
        never = re.sub(r"-\d+", "-900", stream.last_id)
    async with listening(client, PATH, never) as stream:
        gap = await stream.next()
        assert (gap.name, len(gap.data["missing"])) == ("gap", 4)
        assert {one["reason"] for one in gap.data["missing"]} == {"beyond the end"}
        await worker.publish(made(ALICE, 2))
        assert await stream.rows(1) == [made(ALICE, 2).shown]


async def test_a_position_of_another_topic_is_told_as_a_gap(client: Client) -> None:
    async with listening(client, "/sse/anomalies") as stream:
        other = stream.last_id
    async with listening(client, PATH, other) as stream:
        gap = await stream.next()
        assert {one["reason"] for one in gap.data["missing"]} == {"other topic"}


# --- Slow clients, and the end ---------------------------------------------------------------


async def test_a_client_that_does_not_read_is_cut_off_alone(settings: Settings, worker: Worker) -> None:
    many = [made(ALICE, n, meta_data={"long": "x" * 50_000}) for n in range(400)]
    async with serving(settings, buffer_bytes=200_000) as client, listening(client, PATH) as reading:
        async with asyncio.timeout(PATIENCE):
            silent = await _connected(client)
        try:
            await until(client, "txnwatch_api_sse_clients", 2)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.publish(*many, each=20))
                rows = await reading.rows(400)
            assert [row["id"] for row in rows] == [one.txn.id for one in many]
            await until(client, "txnwatch_api_sse_cut_off_total", 1)
            await until(client, "txnwatch_api_sse_clients", 1)
            await worker.publish(made(ALICE, 400))
            assert await reading.rows(1) == [made(ALICE, 400).shown]
        finally:
            silent.close()


async def _connected(client: Client) -> socket.socket:
    """A client that asks for the stream and never reads of it, with little room to be sent to."""
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.setblocking(False)  # noqa: FBT003  # it takes no name
    loop = asyncio.get_running_loop()
    await loop.sock_connect(silent, (client.host, client.port))
    await loop.sock_sendall(silent, f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return silent


async def test_stopping_ends_streams_promptly_and_whole(settings: Settings) -> None:
    async with serving(settings) as client, listening(client, PATH) as stream:
        assert client.server.runner is not None
        async with asyncio.timeout(5):
            await client.server.runner.cleanup()
            last = await stream.response.content.read()  # an error, were the answer cut short
        assert re.fullmatch(rb": stopping\nretry: \d+\n\n", last)


async def test_who_comes_while_the_process_stops_is_told_to_come_back_and_not_to_give_up() -> None:
    streams = Streams(
        limit=1,
        buffer_bytes=1000,
        send_seconds=1,
        retry_milliseconds=1000,
        count_cut_off=lambda: None,
        count_turned_away=lambda: None,
    )

    async def stopped_meanwhile(_client: StreamClient) -> AsyncGenerator[bytes, None]:
        await streams.close()
        yield b": ready\n\n"

    async def handle(request: web.Request) -> web.StreamResponse:
        return await streams.send(request, stopped_meanwhile)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert response.status == 200
        assert re.fullmatch(rb": stopping\nretry: 1\d{3}\n\n", await response.read())


async def test_clients_of_a_process_that_stops_are_told_to_come_back_at_different_times(
    settings: Settings,
) -> None:
    async with serving(settings, retry_milliseconds=1000) as client, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(client, PATH)) for _ in range(12)]
        assert client.server.runner is not None
        await client.server.runner.cleanup()
        for stream in streams:
            assert await stream.block() is None
            assert stream.comments[-1] == "stopping"
        retries = [stream.retry or 0 for stream in streams]
        assert len(set(retries)) > 6
        assert all(1000 <= one <= 2000 for one in retries)


async def test_who_finds_no_place_is_told_to_come_back_and_not_to_give_up(settings: Settings) -> None:
    async with serving(settings, stream_clients=2, retry_milliseconds=1000) as client:
        async with listening(client, PATH), listening(client, "/sse/anomalies") as last:
            for path in (PATH, "/sse/anomalies"):
                async with client.get(path, headers={"Last-Event-ID": last.last_id}) as response:
                    assert (response.status, response.content_type) == (200, "text/event-stream")
                    assert response.headers["Connection"] == "close"
                    body = await response.text()
                found = re.fullmatch(
                    r": full\nretry: (\d+)\n\n", body
                )  # and no id, so that it keeps its place
                assert found
                assert 5000 <= int(found[1]) <= 10_000
        await until(client, "txnwatch_api_sse_clients", 0)
        async with listening(client, PATH):
            assert await counted(client, "txnwatch_api_sse_turned_away_total") == 2


async def test_an_older_client_is_served_without_chunks(client: Client, worker: Worker) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(f"GET {PATH} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            assert b"chunked" not in (await reader.readuntil(b"\r\n\r\n")).lower()
            assert (await reader.readuntil(b"\n\n")).startswith(b": txnwatch\n")
            for number in range(2):
                await worker.publish(made(ALICE, number))
                event = await reader.readuntil(b"\n\n")
                assert json.loads(event.partition(b"data: ")[2]) == made(ALICE, number).shown
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_stream_that_is_catching_up_is_ended_too(settings: Settings, worker: Worker) -> None:
    async with serving(settings) as client:
        async with listening(client, PATH) as stream:
            start = stream.last_id
        await worker.publish(*(made(ALICE, n, meta_data={"long": "x" * 50_000}) for n in range(300)), each=50)
        async with client.get(PATH, headers={"Last-Event-ID": start}) as response:
            await response.content.readany()
            assert client.server.runner is not None
            async with asyncio.timeout(8):
                await client.server.runner.cleanup()
