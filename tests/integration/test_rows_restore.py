"""`txnwatch rows restore`: what it stores again, what it cannot, and what it says."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from stream_app.detectors import detector_of
from tests.support.cardholder import Cardholder
from tests.support.faults.topics import make_anew
from tests.support.installation import Installation, until
from tests.support.oracle import replay
from tests.support.traffic import Sent, revised, traffic

Said = tuple[dict[str, Any] | None, dict[str, Any] | None, int]
"""The evidence of the one that decides, that of the one that watches, and which revision."""


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def restore(installation: Installation, *options: str) -> tuple[int, str]:
    return await installation.completed("txnwatch", "rows", "restore", *options)


async def scored(installation: Installation, count: int, *, start: int = 0) -> None:
    """So many transactions worked off by a worker that has ended."""
    await installation.send_transactions(traffic(count, start=start))
    with installation.worker() as worker:
        await until(installation.finished)
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)


async def forget(installation: Installation) -> None:
    async with installation.postgres() as postgres:
        await postgres.execute("TRUNCATE transactions, users, sink_offsets")


def by_id(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in rows}


async def test_all_that_was_lost_is_there_again_and_a_second_time_nothing_is_new(
    installation: Installation,
) -> None:
    await scored(installation, 500)
    before = by_id(await installation.rows())
    await forget(installation)

    assert await restore(installation) == (0, "500 rows stored again\n")
    assert await restore(installation) == (0, "0 rows stored again\n")

    assert by_id(await installation.rows()) == before
    async with installation.postgres() as postgres:
        assert await postgres.fetchval("SELECT sum(next_offset) FROM sink_offsets") == 500
        assert await postgres.fetchval("SELECT count(*) FROM users") == 50


@pytest.mark.parametrize(
    ("deciding", "watching"),
    [("odds", "rolling_mean"), pytest.param("rolling_mean", "odds", marks=pytest.mark.slow)],
)
async def test_revisions_flags_and_shadows_come_to_the_same_rows_and_none_stays_where_one_moved_from(
    installation: Installation, deciding: str, watching: str
) -> None:
    installation.environment |= {"TXNWATCH_DETECTOR": deciding, "TXNWATCH_SHADOW_DETECTORS": watching}
    transactions = revised(traffic(600, users=8))
    await installation.send_transactions(transactions)
    with installation.worker() as worker:
        await until(installation.finished)
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
    before = sorted(map(str, await installation.rows()))
    await forget(installation)

    for _ in range(2):
        assert (await restore(installation))[0] == 0
        assert sorted(map(str, await installation.rows())) == before

    expected = verdicts(transactions, deciding, watching)
    assert {row["id"]: said(row) for row in await installation.rows()} == expected
    flags, shadows = ([one for one in expected.values() if one[at]] for at in (0, 1))
    assert min(len(flags), len(shadows)) > 5
    assert any(flag and revision for flag, _, revision in expected.values())
    assert sum("'revision': 2" in row and "'moved'" in row for row in before) > 5


def verdicts(transactions: Sequence[Sent], deciding: str, watching: str) -> dict[str, Said]:
    """What each of the two says by itself of each transaction's first content, and the last revision."""
    first: dict[str, Sent] = {}
    for sent in transactions:
        first.setdefault(sent.id, sent)
    by_one, by_other = (said_alone(name, first.values()) for name in (deciding, watching))
    rows = replay(transactions).rows.values()
    return {sent.id: (by_one[sent.id], by_other[sent.id], revision) for sent, revision, _ in rows}


def said_alone(name: str, transactions: Iterable[Sent]) -> dict[str, Any]:
    """The evidence by one detector that runs alone; None where it does not flag."""
    users = defaultdict[str, Cardholder](lambda: Cardholder(detector_of(name)))
    found = {
        sent.id: users[sent.user_id].pay(
            sent.amount, sent.currency, sent.status, datetime.fromisoformat(sent.txn_date)
        )
        for sent in transactions
    }
    return {one: evidence and msgspec.to_builtins(evidence) for one, evidence in found.items()}


def said(row: dict[str, Any]) -> Said:
    """A row's evidence, what stands in its shadow, and its revision."""
    meta = dict(row["meta_data"])
    [shadow] = meta.pop("shadow", {"": None}).values()
    if shadow:
        del shadow["score"]
    is_flag, revision = meta.pop("is_anomaly"), meta.pop("revision", 0)
    evidence = {name: value for name, value in meta.items() if name not in ("detector", "rule")}
    return evidence if is_flag else None, shadow, revision


async def test_what_the_topic_no_longer_has_is_said_and_accepted_by_who_says_so(
    installation: Installation,
) -> None:
    await scored(installation, 500)
    topic = installation.environment["TXNWATCH_SCORED_TOPIC"]
    records = [one for one in await installation.read_topic(topic) if one.partition == 0]
    deletion = {TopicPartition(topic, 0): RecordsToDelete(before_offset=records[10].offset)}
    async with installation.administration() as admin:
        await admin.delete_records(deletion)
    await forget(installation)

    code, said = await restore(installation)
    assert code == 1
    assert f"is on {topic}: partition 0, 0 to 9." in said
    assert await installation.rows() == []

    assert await restore(installation, "--accept-gaps") == (0, "490 rows stored again\n")
    assert await restore(installation) == (0, "0 rows stored again\n")


async def test_a_record_of_somebody_else_does_not_hide_what_is_gone(installation: Installation) -> None:
    await scored(installation, 300)
    topic = installation.environment["TXNWATCH_SCORED_TOPIC"]
    end = 1 + max(one.offset for one in await installation.read_topic(topic) if one.partition == 0)
    async with installation.administration() as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=end)})
    async with AIOKafkaProducer(
        bootstrap_servers=installation.environment["KAFKA_BOOTSTRAP_SERVERS"]
    ) as other:
        await other.send_and_wait(topic, b"{}", partition=0)
    await scored(installation, 100, start=300)
    await forget(installation)

    code, said = await restore(installation)

    assert code == 1
    assert f"is on {topic}: partition 0, 0 to " in said
    assert await installation.rows() == []


async def test_without_a_scored_topic_all_is_a_gap(installation: Installation) -> None:
    installation.environment["TXNWATCH_SCORED_TOPIC"] = ""
    await scored(installation, 100)
    await forget(installation)

    code, said = await restore(installation)

    assert code == 1
    assert "is on any topic (TXNWATCH_SCORED_TOPIC): partition 0, 0 to " in said


async def test_rows_of_another_source_on_the_topic_bring_no_partition_past_the_group(
    installation: Installation,
) -> None:
    """A source that was made anew has its former's records on the scored topic, from later offsets."""
    await scored(installation, 300)
    former = installation.environment["TXNWATCH_APP_ID"]
    await make_anew(installation, installation.transactions)
    installation.environment |= {"TXNWATCH_APP_ID": f"{former}-anew", "TXNWATCH_REDIS_PREFIX": "anew:"}
    code, said = await installation.completed("txnwatch", "topics")
    assert code == 0, said
    await forget(installation)
    installation.environment["TXNWATCH_DATADIR"] += "-anew"
    await scored(installation, 40, start=300)
    async with installation.postgres() as postgres:
        before = dict(await postgres.fetch("SELECT partition, next_offset FROM sink_offsets"))
        await postgres.execute("UPDATE sink_offsets SET next_offset = 0")

        code, said = await restore(installation)

        assert code == 0, said
        assert dict(await postgres.fetch("SELECT partition, next_offset FROM sink_offsets")) == before


async def test_a_worker_that_lacks_nothing_is_not_disturbed(installation: Installation) -> None:
    transactions = traffic(4000)
    await installation.send_transactions(transactions[:2000])
    with installation.worker() as worker:
        await until(installation.finished)
        assert await restore(installation) == (0, "0 rows stored again\n")
        await installation.send_transactions(transactions[2000:])
        await until(installation.finished)
        assert worker.poll() is None

    rows = await installation.rows()
    assert len(rows) == len(by_id(rows)) == 4000


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
