"""What Kafka no longer has, or never had."""

import re
from datetime import UTC, datetime, timedelta

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from api.settings import Settings
from tests.api.events import listening
from tests.api.rows import FLAG, START, Worker, made, partition_of, store
from tests.api.serving import Client, serving
from tests.api.streams import ALICE, BOB, PATH


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
