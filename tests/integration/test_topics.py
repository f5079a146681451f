"""`txnwatch topics` against a real broker."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner

from infra.embedded.cluster import Addresses
from infra.runtime.kafka import TopicsError, admin_client, check_topics, describe_cluster
from infra.runtime.settings import Settings
from infra.runtime.topic_metadata import TopicsRequest
from infra.topics import ensure_topics, topics_command
from tests.support.services import delete_topics, unique_settings


@pytest.fixture
async def absent(services: Addresses) -> AsyncIterator[Settings]:
    """Settings whose topics do not exist yet."""
    settings = unique_settings(services.kafka)
    yield settings
    await delete_topics(settings)


@pytest.fixture
async def admin(services: Addresses) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=services.kafka)
    await client.start()
    yield client
    await client.close()


async def config(admin: AIOKafkaAdminClient, topic: str, name: str) -> str:
    wanted = ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})
    [response] = await admin.describe_configs([wanted])
    return str(response.resources[0][4][0][1])


async def made_elsewhere(admin: AIOKafkaAdminClient, topic: NewTopic) -> None:
    """Make a topic of other settings; return when the broker knows of it, which is a little later."""
    await admin.create_topics([topic])
    async with asyncio.timeout(30):
        while topic.name not in await admin.list_topics():  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.02)


async def test_every_topic_is_created_with_the_partitions_set_and_only_the_changelog_is_compacted(
    absent: Settings, admin: AIOKafkaAdminClient
) -> None:
    ensured = await ensure_topics(absent)

    expected = [*absent.topics]
    assert ensured.created == expected
    assert ensured.existing == []
    described = await admin.describe_topics(expected)
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == dict.fromkeys(expected, 4)
    assert await config(admin, absent.changelog_topic, "cleanup.policy") == "compact"
    assert await config(admin, absent.transactions_topic, "cleanup.policy") == "delete"
    assert await config(admin, absent.control_topic, "retention.ms") == "-1"


async def test_records_get_their_time_from_the_broker(absent: Settings, admin: AIOKafkaAdminClient) -> None:
    await ensure_topics(absent)

    kinds = {topic: await config(admin, topic, "message.timestamp.type") for topic in absent.topics}
    assert kinds == dict.fromkeys(absent.topics, "LogAppendTime")


async def test_a_topic_whose_producers_say_the_time_is_named_and_altered_on_demand(
    absent: Settings, admin: AIOKafkaAdminClient
) -> None:
    topic = absent.transactions_topic
    await made_elsewhere(admin, NewTopic(topic, 4, 1, topic_configs={"retention.ms": "5000"}))

    assert (await ensure_topics(absent)).stamped_by_producers == [topic]
    assert await config(admin, topic, "message.timestamp.type") == "CreateTime"
    assert (await ensure_topics(absent, alter=True)).stamped_by_producers == []
    async with asyncio.timeout(30):
        while (await ensure_topics(absent)).stamped_by_producers:  # noqa: ASYNC110 - the broker hears of it later
            await asyncio.sleep(0.02)
    assert await config(admin, topic, "message.timestamp.type") == "LogAppendTime"
    assert await config(admin, topic, "retention.ms") == "5000"


async def test_a_topic_made_anew_under_its_name_has_another_id(absent: Settings) -> None:
    async with admin_client(absent, "test") as admin:
        await ensure_topics(absent)
        before = (await describe_cluster(admin)).ids
        await admin.delete_topics([absent.dlq_topic])
        async with asyncio.timeout(30):
            while absent.dlq_topic in (await describe_cluster(admin)).topics:  # noqa: ASYNC110 - no news of it
                await asyncio.sleep(0.02)
        await ensure_topics(absent)
        after = (await describe_cluster(admin)).ids

    assert {name for name in absent.topics if before[name] != after[name]} == {absent.dlq_topic}
    assert all(len(after[name]) == 22 for name in absent.topics)  # as Kafka's own tools name it


async def test_topics_are_checked_without_asking_for_all_of_the_cluster(absent: Settings) -> None:
    """The answer for 3,000 topics of others held the worker's loop for 0.85 s, every 5 s."""
    wanted = [absent.transactions_topic, absent.dlq_topic]
    await ensure_topics(absent)

    cluster = await check_topics(absent, wanted)

    assert set(cluster.topics) == set(cluster.ids) == set(wanted)
    assert {len(partitions) for partitions in cluster.topics.values()} == {4}


async def test_asking_for_a_topic_does_not_make_it(absent: Settings) -> None:
    async with admin_client(absent, "test") as admin:
        assert (await describe_cluster(admin, [absent.dlq_topic])).topics == {}
        assert absent.dlq_topic not in (await describe_cluster(admin)).topics
    oldest, newest = (TopicsRequest(["t"]).prepare({TopicsRequest.API_KEY: (0, most)}) for most in (8, 13))
    assert (oldest.allow_auto_topic_creation, newest.allow_auto_topic_creation) == (False, False)


async def test_a_broker_before_topics_had_ids_is_asked_without_them() -> None:
    oldest, newest = (TopicsRequest(["t"]).prepare({TopicsRequest.API_KEY: (0, most)}) for most in (8, 13))

    assert (oldest.API_VERSION, newest.API_VERSION) == (5, 10)


async def test_a_created_topic_takes_a_record_at_once(absent: Settings) -> None:
    await ensure_topics(absent)

    async with AIOKafkaProducer(bootstrap_servers=absent.kafka) as producer:
        record = await producer.send_and_wait(absent.anomalies_topic, b"{}", partition=3)

    assert record.offset == 0


async def test_the_second_run_finds_what_the_first_created(absent: Settings) -> None:
    first = await ensure_topics(absent)
    second = await ensure_topics(absent)

    assert second.created == []
    assert second.existing == first.created


async def test_runs_side_by_side_create_each_topic_once(absent: Settings) -> None:
    runs = await asyncio.gather(*(ensure_topics(absent) for _ in range(4)))

    created = sorted(name for run in runs for name in run.created)
    assert created == sorted(absent.topics)


async def test_a_scored_topic_that_is_switched_off_is_not_created(absent: Settings) -> None:
    without = absent.model_copy(update={"scored_topic": ""})

    ensured = await ensure_topics(without)

    assert absent.scored_topic not in ensured.created
    assert len(ensured.created) == 5


async def test_another_number_of_partitions_is_an_error_and_nothing_is_created(
    absent: Settings, admin: AIOKafkaAdminClient
) -> None:
    await made_elsewhere(admin, NewTopic(absent.anomalies_topic, 3, 1))

    with pytest.raises(TopicsError, match=f"{absent.anomalies_topic} has 3 partitions, but .* is 4"):
        await ensure_topics(absent)

    assert absent.transactions_topic not in await admin.list_topics()


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
async def test_a_changelog_that_is_not_compacted_alone_is_an_error(
    absent: Settings, admin: AIOKafkaAdminClient, policy: str
) -> None:
    changelog = NewTopic(absent.changelog_topic, 4, 1, topic_configs={"cleanup.policy": policy})
    await made_elsewhere(admin, changelog)

    with pytest.raises(TopicsError, match=f"cleanup.policy={policy}, but needs compact alone"):
        await ensure_topics(absent)


async def test_what_the_broker_refuses_is_an_error_with_its_reason(absent: Settings) -> None:
    with pytest.raises(TopicsError, match=r"(?i)replication factor"):
        await ensure_topics(absent.model_copy(update={"replication": 3}))


def test_the_command_fails_with_a_message_when_partitions_differ(
    topics: Settings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment, "TXNWATCH_PARTITIONS": "5"}.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(topics_command)

    assert result.exit_code == 1
    assert f"{topics.transactions_topic} has 4 partitions, but TXNWATCH_PARTITIONS is 5" in result.output
    assert "Traceback" not in result.output


def test_the_command_lists_the_topics_it_found(
    topics: Settings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    result = CliRunner().invoke(topics_command)

    assert result.exit_code == 0
    assert f"{topics.changelog_topic}: exists, 4 partitions" in result.output


def test_the_command_says_which_broker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    result = CliRunner().invoke(topics_command)

    assert result.exit_code == 1
    assert "Error: Kafka (KAFKA_BOOTSTRAP_SERVERS): " in result.output


async def test_a_control_topic_that_forgets_is_refused(absent: Settings, admin: AIOKafkaAdminClient) -> None:
    await made_elsewhere(admin, NewTopic(absent.control_topic, 4, 1))

    with pytest.raises(TopicsError, match=r"retention\.ms=604800000, but needs -1"):
        await ensure_topics(absent)
