"""Decisions in Postgres and on the control topic: in one order, each once in every partition."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.decisions.history import OutdatedError, Proposal, append
from infra.decisions.publisher import ForeignLogError, publish
from infra.embedded.cluster import Addresses
from infra.runtime.kafka import admin_client, read_committed
from infra.runtime.settings import Settings
from infra.topics import add_partitions
from schemas.decision import RULES, Decision
from tests.support.services import fresh_database, fresh_topics

KILLED = """
import asyncio, os, signal
from aiokafka import AIOKafkaProducer
from infra.decisions.publisher import publish
from infra.runtime.settings import Settings

async def die(self):
    os.kill(os.getpid(), signal.SIGKILL)

AIOKafkaProducer.commit_transaction = die
settings = Settings.load()
asyncio.run(publish(settings, settings.postgres.get_secret_value()))
"""


@dataclass(frozen=True, slots=True)
class Log:
    """A control topic and a database of this test's own."""

    settings: Settings
    postgres: str

    async def decide(self, detector: str = "odds", *, expected: int | None = None) -> Decision:
        connection = await asyncpg.connect(self.postgres)
        try:
            proposal = Proposal(RULES, {"detector": detector}, "ann", "as a test")
            return await append(connection, proposal, expected=expected)
        finally:
            await connection.close()

    async def publish(self) -> int:
        return await publish(self.settings, self.postgres)

    async def numbers(self) -> dict[int, list[int]]:
        """The decisions of each partition in their order, from what is committed."""
        found: dict[int, list[int]] = {}
        async for records in read_committed(self.settings, self.settings.control_topic):
            found.setdefault(records[0].partition, []).extend(
                Decision.decode(record.value).seq for record in records
            )
        return found

    @property
    def environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
            "POSTGRES_URL": self.postgres,
            "TXNWATCH_APP_ID": settings.app_id,
            "TXNWATCH_CONTROL_TOPIC": settings.control_topic,
        }


@pytest.fixture
async def log(services: Addresses) -> AsyncIterator[Log]:
    async with (
        fresh_topics(services.kafka, partitions=3) as settings,
        fresh_database(services.postgres) as database,
    ):
        yield Log(settings, database)


async def test_decisions_made_at_once_have_numbers_without_a_gap(log: Log) -> None:
    made = await asyncio.gather(*(log.decide() for _ in range(10)))

    assert sorted(decision.seq for decision in made) == [*range(1, 11)]


async def test_who_has_not_seen_the_newest_does_not_overwrite_it(log: Log) -> None:
    await log.decide(expected=0)

    with pytest.raises(OutdatedError, match="the newest decision on rules is 1, not 0"):
        await log.decide(expected=0)


async def test_nothing_of_the_audit_trail_is_changed(log: Log) -> None:
    await log.decide()
    connection = await asyncpg.connect(log.postgres)
    try:
        for change in (
            "UPDATE decisions SET who = ''",
            "DELETE FROM decisions",
            "TRUNCATE decisions CASCADE",
        ):
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="stay as they were made"):
                await connection.execute(change)
    finally:
        await connection.close()


async def test_publishers_at_once_write_each_decision_once_to_every_partition(log: Log) -> None:
    async def decide_and_publish() -> None:
        await log.decide()
        await log.publish()

    await asyncio.gather(*(decide_and_publish() for _ in range(3)))

    assert await log.numbers() == {key: [1, 2, 3] for key in range(3)}


@pytest.mark.slow
async def test_one_killed_in_its_transaction_leaves_nothing_and_the_next_goes_on(log: Log) -> None:
    await log.decide()
    await log.publish()
    await log.decide()
    command = [sys.executable, "-c", KILLED]
    killed = await asyncio.to_thread(subprocess.run, command, env=log.environment, check=False)
    await log.decide()

    assert killed.returncode == -signal.SIGKILL
    assert await log.publish() == 3
    assert await log.numbers() == {key: [1, 2, 3] for key in range(3)}


async def test_one_that_hangs_and_has_lost_its_lock_writes_nothing_after_the_next(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing, goes_on, commit = asyncio.Event(), asyncio.Event(), AIOKafkaProducer.commit_transaction
    calls = count()

    async def hang_first(self: AIOKafkaProducer) -> None:
        if not next(calls):
            committing.set()
            await goes_on.wait()
        await commit(self)

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", hang_first)
    await log.decide()
    hanging = asyncio.create_task(log.publish())
    await committing.wait()
    await _end_sessions(log.postgres)
    await log.decide()

    assert await log.publish() == 2
    goes_on.set()
    with pytest.raises((KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await hanging
    assert await log.numbers() == {key: [1, 2] for key in range(3)}


async def _end_sessions(url: str) -> None:
    """End those of publishers, as Postgres does when one is idle for long."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'txnwatch-publisher' AND datname = current_database()"
        )
    finally:
        await connection.close()


async def test_a_partition_that_is_new_gets_all_decisions(log: Log) -> None:
    await log.decide()
    await log.publish()
    async with admin_client(log.settings, "test") as admin:
        await add_partitions(admin, [log.settings.control_topic], 5)
    await log.decide()
    await log.publish()

    assert await log.numbers() == {key: [1, 2] for key in range(5)}


async def test_decisions_of_another_database_are_not_mixed_with_ours(log: Log, services: Addresses) -> None:
    await log.decide("odds")
    await log.publish()
    async with fresh_database(services.postgres) as other:
        stranger = Log(log.settings, other)
        await stranger.decide("rolling_mean")
        await stranger.decide("rolling_mean")
        with pytest.raises(ForeignLogError, match="decision 1 of the control topic is not the database's"):
            await stranger.publish()
