"""`txnwatch repartition`: more partitions, and every verdict as if there had always been so many."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions
from aiokafka.errors import KafkaConnectionError

from infra.runtime.kafka import RunningError
from stream_app.commands import repartition as command
from stream_app.commands.carry_over import CarryOver, NotPossibleError
from stream_app.commands.repartition import repartition
from stream_app.settings import Settings
from tests.support.installation import Installation, ended, json_of, until
from tests.support.oracle import replay
from tests.support.traffic import Sent, traffic

pytestmark = pytest.mark.slow


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
    """Ended before the commit and after it, with messages from before and after partitions were added."""
    first, waiting, early, last = (traffic(1_600, users=40)[at : at + 400] for at in range(0, 1_600, 400))
    await scored(installation, first)
    await installation.send_transactions(waiting)

    assert (await repartition(settings, 6, dry_run=True))["waiting"] == 400
    async with installation.administration() as admin:
        assert len((await admin.describe_topics([settings.changelog_topic]))[0]["partitions"]) == 4
        await admin.create_partitions({settings.transactions_topic: NewPartitions(6)})
    await installation.send_transactions(early)
    with monkeypatch.context() as killed:
        killed.setattr(AIOKafkaProducer, "send_offsets_to_transaction", _lost)
        with pytest.raises(KafkaConnectionError):
            await repartition(settings, 6)
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
