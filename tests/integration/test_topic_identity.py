"""Topics that are replaced, or get more partitions, stop the worker, and what its line names leads on."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import DeleteTopicsResponse_v0

from infra.runtime.kafka import TopicsError
from stream_app.commands import state
from stream_app.settings import Settings
from tests.support.faults.topics import make_anew
from tests.support.installation import Installation, ended, json_of, until
from tests.support.traffic import traffic


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def stopped(installation: Installation) -> str:
    """What a worker says that cannot go on."""
    with installation.command("txnwatch", "worker") as worker:
        output, _ = await asyncio.to_thread(worker.communicate, timeout=60)
    assert worker.returncode not in {0, None}
    return output.decode()


async def score(installation: Installation, count: int, seed: int) -> None:
    """Score so many transactions from start to end."""
    await installation.send_transactions(traffic(count, users=50, seed=seed))
    with installation.worker() as worker:
        await until(installation.finished)
        assert await ended(worker) == 0


@pytest.mark.slow
@pytest.mark.parametrize("sinks", ["", "postgres"])
async def test_a_source_made_anew_and_grown_past_the_former_is_not_gone_on_in(
    installation: Installation, tmp_path: Path, sinks: str
) -> None:
    """With a new data folder: what is known is in the changelog, and without that in Postgres."""
    installation.environment["TXNWATCH_SINKS"] = sinks
    await score(installation, 300, seed=1)
    await make_anew(installation, installation.transactions)
    if sinks:
        await make_anew(installation, f"{installation.environment['TXNWATCH_APP_ID']}-windows-changelog")
    installation.environment["TXNWATCH_DATADIR"] = str(tmp_path / "another")
    await installation.send_transactions(traffic(800, users=50, seed=2))

    said = await stopped(installation)

    assert f"{installation.transactions} had the id " in said
    assert "`txnwatch state accept`" in said
    code, refused = await installation.completed("txnwatch", "state", "accept")
    assert code == 1
    assert "the group to None" in refused, refused
    code, forgot = await installation.completed("txnwatch", "state", "start-over", "--yes")
    assert code == 0, forgot
    installation.environment["TXNWATCH_DATADIR"] = str(tmp_path / "a third")
    with installation.worker() as worker:
        await until(installation.finished)
        assert await ended(worker) == 0
    scored = json_of(await installation.read("TXNWATCH_SCORED_TOPIC"))
    assert {row["id"] for row in scored} >= {sent.id for sent in traffic(800, users=50, seed=2)}


@pytest.mark.slow
async def test_an_output_made_anew_under_a_worker_is_noticed_and_accepted(installation: Installation) -> None:
    installation.environment["TXNWATCH_SINKS"] = ""
    await installation.send_transactions(traffic(100, users=50, seed=1))
    with installation.command("txnwatch", "worker") as worker:
        await until(installation.finished)
        await make_anew(installation, installation.environment["TXNWATCH_ANOMALIES_TOPIC"])
        output, _ = await asyncio.to_thread(worker.communicate, timeout=30)
    assert worker.returncode not in {0, None}
    assert f"{installation.environment['TXNWATCH_ANOMALIES_TOPIC']} had the id " in output.decode()

    code, said = await installation.completed("txnwatch", "state", "accept")
    assert code == 0, said
    await score(installation, 100, seed=2)
    assert len(await installation.read("TXNWATCH_SCORED_TOPIC")) == 200


async def test_more_partitions_are_noticed_also_where_all_topics_agree(installation: Installation) -> None:
    installation.environment["TXNWATCH_SINKS"] = ""
    await installation.send_transactions(traffic(100, users=50, seed=1))
    with installation.command("txnwatch", "worker") as worker:
        await until(installation.finished)
        async with installation.administration() as admin:
            names = [
                name
                for name in await admin.list_topics()
                if installation.environment["TXNWATCH_APP_ID"] in name
            ]
            await admin.create_partitions({name: NewPartitions(6) for name in names})
        output, _ = await asyncio.to_thread(worker.communicate, timeout=30)

    assert worker.returncode not in {0, None}
    assert "`txnwatch repartition 6` then carries the windows over" in output.decode()
    assert "`txnwatch repartition 6` then carries the windows over" in await stopped(installation)


@pytest.mark.parametrize(
    ("code", "expected"), [(TopicAuthorizationFailedError.errno, KafkaError), (0, TopicsError)]
)
async def test_starting_over_ends_where_the_changelog_is_not_deleted(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, code: int, expected: type[Exception]
) -> None:
    """The broker refuses, or agrees and does not; a real one is brought to neither."""
    settings = Settings.model_validate(environment | {"TXNWATCH_SINKS": ""})

    async def kept(*_arguments: object) -> DeleteTopicsResponse_v0:
        return DeleteTopicsResponse_v0([(settings.changelog_topic, code)])

    monkeypatch.setattr(AIOKafkaAdminClient, "delete_topics", kept)
    monkeypatch.setattr(state, "_DELETED_SECONDS", 0.2, raising=False)
    async with asyncio.timeout(20):
        with pytest.raises(expected, match=settings.changelog_topic):
            await state.start_over(settings)
