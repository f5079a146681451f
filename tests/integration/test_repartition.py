"""`txnwatch repartition`: more partitions, and every verdict as if there had always been so many."""

import asyncio
import json
import random
import signal

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError

from infra.runtime.kafka import RunningError
from stream_app.commands import repartition as command
from stream_app.commands.carry_over import CarryOver, NotPossibleError
from stream_app.commands.repartition import repartition
from stream_app.settings import Settings
from stream_app.state.topics import TOPICS_KEY
from tests.support.installation import Installation, ended, json_of, until
from tests.support.oracle import replay
from tests.support.traffic import Sent, traffic

pytestmark = pytest.mark.slow

KILLED_IN_ITS_TRANSACTION = """
import asyncio, os, signal
from infra.runtime.aiokafka_changes import install
from stream_app.commands.carry_over import CarryOver
from stream_app.commands.repartition import repartition
from stream_app.settings import Settings

async def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

CarryOver._check_unchanged = kill
install()
asyncio.run(repartition(Settings.load(), 6))
"""


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.model_validate(environment)


async def scored(installation: Installation, transactions: list[Sent]) -> None:
    """Have a worker score these, from its start to its end."""
    await installation.send_transactions(transactions)
    with installation.worker() as worker:
        await until(installation.finished)
        assert await ended(worker) == 0


async def forget_topics(installation: Installation, settings: Settings) -> None:
    """Have the changelog say as little of its topics as one of before they were known."""
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
        for number in range(4):
            await producer.send_and_wait(settings.changelog_topic, None, TOPICS_KEY, number)


async def send_oddities(installation: Installation) -> None:
    """A message without key and value, one with a header, and one that is small only as it is compressed."""
    await installation.send([(b"large", bytes(3 << 20))], compression_type="gzip", max_request_size=4 << 20)
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
        await producer.send(installation.transactions, b"", b"headers", 0, headers=[("trace", b"1")])
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await (await producer.send_batch(batch, installation.transactions, partition=0))


async def partitions_of(installation: Installation, topic: str) -> int:
    async with installation.administration() as admin:
        return len((await admin.describe_topics([topic]))[0]["partitions"])


async def assert_as_one_log(installation: Installation, transactions: list[Sent]) -> None:
    """Each was scored once, by all of its user's before it, and everything that is kept says so."""
    expected = replay(transactions)
    published = json_of(await installation.read("TXNWATCH_SCORED_TOPIC"))
    assert sorted(row["id"] for row in published) == sorted(sent.id for sent in transactions)
    assert {row["id"] for row in published if row["meta_data"]["is_anomaly"]} == expected.flagged
    rows = await installation.rows()
    assert len(rows) == len(transactions)
    assert {row["id"] for row in rows if row["meta_data"]["is_anomaly"]} == expected.flagged
    assert installation.windows() == expected.windows


async def test_windows_and_what_waits_go_where_their_users_do(
    installation: Installation, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the commit, ended after it; with messages from before and after partitions were added."""
    first, waiting, early, last = (traffic(1_600, users=40)[at : at + 400] for at in range(0, 1_600, 400))
    await scored(installation, first)
    await installation.send_transactions(waiting)
    await send_oddities(installation)
    await forget_topics(installation, settings)

    would_be = await repartition(settings, 6, dry_run=True)
    assert (would_be["waiting"], would_be["empty"]) == (403, 1)
    assert await partitions_of(installation, settings.changelog_topic) == 4
    async with installation.administration() as admin:
        await admin.create_partitions({settings.transactions_topic: NewPartitions(6)})
    await installation.send_transactions(early)
    code, _ = await installation.completed("python", "-c", KILLED_IN_ITS_TRANSACTION)
    assert code == -signal.SIGKILL
    with pytest.raises(NotPossibleError, match="run again, without --dry-run"):
        await repartition(settings, 6, dry_run=True)
    with monkeypatch.context() as killed:
        killed.setattr(command, "_follow", _lost)
        with pytest.raises(KafkaConnectionError):
            await repartition(settings, 6)
    with installation.command("txnwatch", "worker") as worker:
        output, _ = await asyncio.to_thread(worker.communicate, timeout=60)
    assert "`txnwatch repartition 6`" in output.decode()

    code, said = await installation.completed("txnwatch", "repartition", "6")

    assert code == 0, said
    assert "TXNWATCH_PARTITIONS=6" in said
    await scored(installation, last)
    await assert_as_one_log(installation, first + waiting + early + last)
    for options in ([], ["--from-db"], ["--partition", "5"]):
        code, said = await installation.completed("txnwatch", "replay", "--json", *options)
        counts = json.loads(said.splitlines()[-1])["counts"]  # lines before say how far it is
        assert code == 0, said
        assert counts.keys() == {"same"}, said
        assert "--partition" in options or counts["same"] == 1_600


async def _lost(*_arguments: object, **_options: object) -> None:
    raise KafkaConnectionError("lost")


async def test_nothing_is_moved_while_a_worker_or_a_producer_is_at_work(
    installation: Installation, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = traffic(200, users=20)
    await installation.send_transactions(transactions)
    with installation.worker() as worker:
        await until(installation.finished)
        with pytest.raises(RunningError, match=r"1 workers of .* run"):
            await repartition(settings, 6)
        assert await ended(worker) == 0
    carry = CarryOver._carry_messages  # noqa: SLF001 - where a producer is let in between

    async def carry_beside(self: CarryOver, producer: AIOKafkaProducer) -> object:
        await installation.send([(b"key", b"late")])
        return await carry(self, producer)

    monkeypatch.setattr(CarryOver, "_carry_messages", carry_beside)
    with pytest.raises(NotPossibleError, match="still writes"):
        await repartition(settings, 6)
    monkeypatch.undo()

    with pytest.raises(NotPossibleError, match="Kafka takes none away"):
        await repartition(settings, 3)
    assert (await repartition(settings, 6))["waiting"] == 1


async def test_what_the_topic_takes_no_longer_is_named_before_anything_is_changed(
    installation: Installation, settings: Settings
) -> None:
    await installation.send([(None, b"small"), (None, random.randbytes(200_000))])
    async with installation.administration() as admin:
        largest = {"max.message.bytes": "100000"}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, installation.transactions, largest)]
        )

    with pytest.raises(NotPossibleError, match=r"partition 0 offset 1: the message has 200\d\d\d bytes"):
        await repartition(settings, 6)

    assert await partitions_of(installation, installation.transactions) == 4


async def test_a_topic_that_is_switched_on_later_gets_the_partitions_of_the_others(
    installation: Installation, settings: Settings
) -> None:
    await repartition(settings, 6)
    later = f"{installation.transactions}.later"
    async with installation.administration() as admin:
        await admin.create_topics([NewTopic(later, 4, 1)])

    try:
        await repartition(settings.model_copy(update={"scored_topic": later}), 6)

        assert await partitions_of(installation, later) == 6
    finally:
        async with installation.administration() as admin:
            await admin.delete_topics([later])
