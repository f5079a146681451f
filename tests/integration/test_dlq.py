"""`txnwatch dlq` on a real broker, from a refused message to the one row that a mended one becomes."""

import asyncio
import re
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from infra.runtime.this_user import this_user
from tests.support.installation import Installation, until
from tests.support.traffic import Sent, traffic


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def dlq(installation: Installation, *arguments: str) -> tuple[int, str]:
    """The command's exit code and what it printed."""
    return await installation.completed("txnwatch", "dlq", *arguments)


async def refuse(installation: Installation) -> list[Sent]:
    """Three refused messages: no JSON, a key in capitals, an amount below 0; the last two are returned."""
    keyed, negative = traffic(2, users=1)
    with installation.worker():
        await installation.send(
            [
                (b"key", b"\x00\xffno JSON"),
                (keyed.key.upper(), keyed.value),
                (negative.key, negative.value.replace(b'"amount": "', b'"amount": "-')),
            ]
        )
        await until(installation.finished)
    return [keyed, negative]


async def test_where_nothing_was_refused_that_is_said(installation: Installation) -> None:
    """Of partitions without records aiokafka's consumer was stopped so soon that it never ended."""
    code, listed = await dlq(installation, "list")

    assert (code, listed.split()[:2]) == (0, ["total", "0"])


async def test_refused_messages_are_counted_shown_mended_and_stored_once(
    installation: Installation, tmp_path: Path
) -> None:
    keyed, negative = await refuse(installation)
    letters = {
        dict(one.headers)["reason"].decode(): f"{one.partition}:{one.offset}"
        for one in await installation.read("TXNWATCH_DLQ_TOPIC")
    }

    code, listed = await dlq(installation, "list")
    assert code == 0
    assert {line.split()[0]: line.split()[1] for line in listed.splitlines()} == {
        "json": "1", "key": "1", "amount": "1", "total": "3",
    }  # fmt: skip
    assert letters["key"] in listed

    code, shown = await dlq(installation, "show", "--reason", "json")
    assert code == 0
    assert r"\x00\xffno JSON" in shown
    assert re.search(rf"from   {installation.transactions} \d:0, stamped 20\d\d-.* UTC, refused 20", shown)
    with installation.command("txnwatch", "dlq", "show", "--raw", letters["json"]) as process:
        raw, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert raw == b"\x00\xffno JSON"

    code, said = await dlq(installation, "redrive", "--all")
    assert (code, said.count("not sent, still refused")) == (1, 3)

    with installation.worker():
        mended = tmp_path / "mended.json"
        mended.write_bytes(negative.value + b"\n")
        for _ in range(2):  # twice, to be stored once
            code, said = await dlq(installation, "redrive", "--reason", "key", "--rekey")
            assert (code, said) == (0, f"1 sent to {installation.transactions}, 0 not\n")
            code, _ = await dlq(installation, "redrive", letters["amount"], "--value", str(mended))
            assert code == 0
        await until(installation.finished)
    assert sorted(row["id"] for row in await installation.rows()) == sorted([keyed.id, negative.id])
    again = [record for record in await sent(installation) if dict(record["headers"]).get("redriven-from")]
    assert len(again) == 4
    assert {record["headers"]["redriven-from"] for record in again} == {letters["key"], letters["amount"]}
    assert {record["headers"]["redriven-by"] for record in again} == {this_user()}
    with installation.command("txnwatch", "audit", "--limit", "1") as process:
        audit, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert f"{this_user()}  dead letters sent again  1 of " in audit.decode()


async def sent(installation: Installation) -> list[dict[str, dict[str, str]]]:
    records = await installation.read("TXNWATCH_TRANSACTIONS_TOPIC")
    return [{"headers": {name: value.decode() for name, value in one.headers}} for one in records]


async def test_nothing_is_sent_in_a_dry_run_nor_without_saying_which(installation: Installation) -> None:
    await refuse(installation)
    before = await installation.produced()

    assert await dlq(installation, "redrive", "--reason", "key", "--rekey", "--dry-run") == (
        0, f"1 would be sent to {installation.transactions}, 0 not\n",
    )  # fmt: skip
    code, said = await dlq(installation, "redrive")
    assert code == 2
    assert "PARTITION:OFFSET, --reason or --all" in said
    code, said = await dlq(installation, "show", "--raw")
    assert code == 2
    code, said = await dlq(installation, "show", "9:0")
    assert code == 1
    assert "not all of these places" in said

    assert await installation.produced() == before


async def test_a_record_of_somebody_else_is_listed_as_such(installation: Installation) -> None:
    topic = installation.environment["TXNWATCH_DLQ_TOPIC"]
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
        await producer.send_and_wait(topic, b"of another tool", key=b"k", partition=1)
        await producer.send_and_wait(topic, None, key=b"k", partition=2, headers=[("source-offset", b"?")])

    code, listed = await dlq(installation, "list")
    assert code == 0
    assert {line.split()[0]: line.split()[1] for line in listed.splitlines()} == {
        "foreign": "2",
        "total": "2",
    }
    code, shown = await dlq(installation, "show", "1:0")
    assert code == 0
    assert "of another tool" in shown
    assert "from   foreign" in shown


async def test_a_broker_that_is_not_there_is_said_in_a_line(installation: Installation) -> None:
    installation.environment["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"

    code, said = await dlq(installation, "list")

    assert code == 1
    assert "Kafka (KAFKA_BOOTSTRAP_SERVERS)" in said
    assert "Traceback" not in said
