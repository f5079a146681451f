"""What Kafka no longer has, or never had."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from api.live.broker import Topic
from api.live.event_id import EventId, parse
from api.live.replay import Replay
from api.live.slice import Slice
from api.settings import Settings
from tests.support.events import listening
from tests.support.rows import FLAG, START, Worker, made, partition_of, store
from tests.support.serving import Client, serving
from tests.support.streams import ALICE, BOB, PATH


async def expire(settings: Settings, topic: str, number: int, before: int) -> None:
    """Kafka no longer has the records of this partition before the offset."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, number): RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


async def test_what_kafka_no_longer_holds_is_told_as_a_gap(settings: Settings, worker: Worker) -> None:
    number = partition_of(ALICE)
    async with serving(settings, root_path="/txn") as client:
        async with listening(client, PATH) as stream:
            start = stream.last_id
        await worker.publish(*(made(ALICE, n) for n in range(5)))
        await expire(settings, settings.scored_topic, number, 4)
        async with listening(client, PATH, start) as stream:
            gap = await stream.next()
            assert gap.name == "gap"
            missing = {"partition": number, "first": 0, "until": 4, "reason": "expired"}
            assert gap.data["topic"] == settings.scored_topic
            assert gap.data["missing"] == [missing]
            assert gap.data["fetch"] == f"/txn/transactions?user_id={ALICE}&from_date=0001-01-01"
            assert await stream.rows(3) == [made(ALICE, n).shown for n in range(2, 5)]
        async with listening(client, PATH, gap.id) as stream:
            assert await stream.rows(3) == [made(ALICE, n).shown for n in range(2, 5)]


@pytest.mark.parametrize("path", [PATH, "/sse/anomalies"])
async def test_what_expires_while_a_client_catches_up_is_told_as_a_gap(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("api.live.slice.SLICE_FRAMES", 30)
    monkeypatch.setattr("api.live.history._BLOCK_RECORDS", 30)
    monkeypatch.setattr("api.live.history._POLL_RECORDS", 30)
    monkeypatch.setattr("api.live.catch_up._NEAR", 20)
    gate = _gate_after_the_first_slice(monkeypatch)
    many, number = [made(ALICE, n, flag=FLAG) for n in range(101)], partition_of(ALICE)
    topic = settings.scored_topic if path == PATH else settings.anomalies_topic
    async with Worker(settings.kafka, topic) as worker, serving(settings) as client:
        async with listening(client, path) as stream:
            start = stream.last_id
        await worker.publish(*many[:100], each=10)
        async with listening(client, path, start) as stream:
            assert await stream.rows(30) == [one.shown for one in many[:30]]
            await expire(settings, topic, number, 66)  # the row 60: a marker follows every ten
            gate.set()
            gap = await stream.next()
            assert gap.name == "gap"
            missing = {"partition": number, "first": 32, "until": 66, "reason": "expired"}
            assert gap.data["missing"] == [missing]
            assert await stream.rows(40) == [one.shown for one in many[60:100]]
            await worker.publish(many[100])
            assert await stream.rows(1) == [many[100].shown]
        async with listening(client, path, gap.id) as stream:
            assert await stream.rows(41) == [one.shown for one in many[60:]]


def _gate_after_the_first_slice(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Every slice but the first waits until this event is set."""
    gate, read = asyncio.Event(), Replay.read
    slices: list[EventId] = []

    async def gated(self: Replay, topic: Topic, start: EventId, until: EventId, key: bytes | None) -> Slice:
        slices.append(start)
        if len(slices) > 1:
            await gate.wait()
            await self.aclose()  # with what its consumers have fetched ahead
        return await read(self, topic, start, until, key)

    monkeypatch.setattr(Replay, "read", gated)
    return gate


async def test_the_query_that_a_gap_names_has_what_is_missing(settings: Settings, database: str) -> None:
    now = datetime.now(UTC)
    ages = (timedelta(days=-3), timedelta(0), timedelta(days=9000))  # TXNWATCH_MAX_AHEAD_HOURS may be 72
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
        seen = parse(stream.last_id)
    never = str(EventId(seen.incarnation, dict.fromkeys(seen.offsets, 900)))
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
