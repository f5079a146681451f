"""`txnwatch rows restore`: what it stores again, what it cannot, and what it says."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.installation import Installation, until
from tests.traffic import traffic


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def restore(installation: Installation) -> tuple[int, str]:
    with installation.command("txnwatch", "rows", "restore") as process:
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    return process.returncode, output.decode()


async def scored(installation: Installation, count: int) -> None:
    """So many transactions worked off by a worker that has ended."""
    await installation.send_transactions(traffic(count))
    with installation.worker() as worker:
        await until(installation.finished)
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)


def by_id(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in rows}


async def test_all_that_was_lost_is_there_again_and_a_second_time_nothing_is_new(
    installation: Installation,
) -> None:
    await scored(installation, 500)
    before = by_id(await installation.rows())
    async with installation.postgres() as postgres:
        await postgres.execute("TRUNCATE transactions, users, sink_offsets")

    assert await restore(installation) == (0, "500 rows stored again\n")
    assert await restore(installation) == (0, "0 rows stored again\n")

    assert by_id(await installation.rows()) == before
    async with installation.postgres() as postgres:
        assert await postgres.fetchval("SELECT sum(next_offset) FROM sink_offsets") == 500
        assert await postgres.fetchval("SELECT count(*) FROM users") == 50


async def test_what_the_topic_no_longer_has_is_said(installation: Installation) -> None:
    await scored(installation, 500)
    topic = installation.environment["TXNWATCH_SCORED_TOPIC"]
    records = [one for one in await installation.read_topic(topic) if one.partition == 0]
    deletion = {TopicPartition(topic, 0): RecordsToDelete(before_offset=records[10].offset)}
    admin = AIOKafkaAdminClient(bootstrap_servers=installation.kafka)
    await admin.start()
    try:
        await admin.delete_records(deletion)
    finally:
        await admin.close()
    async with installation.postgres() as postgres:
        await postgres.execute("TRUNCATE transactions, users, sink_offsets")

    code, said = await restore(installation)

    assert code == 1
    assert f"{500 - 10} rows stored again" in said
    assert f"partition 0: {topic} no longer has what came from the offsets 0 to 9" in said


@pytest.mark.parametrize(
    ("variable", "address", "said"),
    [
        ("POSTGRES_URL", "postgresql://127.0.0.1:1/none", "Postgres (POSTGRES_URL)"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", "Kafka (KAFKA_BOOTSTRAP_SERVERS)"),
    ],
)
async def test_what_does_not_answer_is_said_in_a_line(
    installation: Installation, variable: str, address: str, said: str
) -> None:
    await scored(installation, 10)
    installation.environment[variable] = address

    code, output = await restore(installation)

    assert code == 1
    assert said in output
    assert "Traceback" not in output
