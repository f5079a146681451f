"""A foreign topic on a real broker: a mapping is proposed, checked, and used as the page says."""

import json
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.documents import blocks, section
from tests.support.foreign_topics import arrived, foreign_topic, taken_over
from tests.support.installation import Installation, until

TOPIC = "shop.payments"
pytestmark = pytest.mark.slow  # six processes one after the other


@pytest.fixture
def installation(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    monkeypatch.chdir(tmp_path)
    return Installation(environment)


def change(number: int) -> bytes:
    """A change as Debezium has it: the row is inside."""
    at = 1_700_000_000_000 + number
    row = {"id": number, "kunde": f"K{number % 7}", "betrag": f"{number},50", "zeit": at, "waehrung": "EUR"}
    return json.dumps({"before": None, "after": row, "op": "c", "ts_ms": at}).encode()


async def send(installation: Installation, topic: str, values: Iterable[bytes | None]) -> None:
    """In a transaction, whose marker is the last of the topic."""
    options = {"bootstrap_servers": installation.kafka, "transactional_id": f"{topic}-shop"}
    async with AIOKafkaProducer(**options) as producer, producer.transaction():
        for value in values:
            await producer.send(topic, value, key=b"any")


async def test_a_topic_of_another_system_is_scored_by_the_commands_of_the_page(
    installation: Installation,
) -> None:
    (block,) = blocks(section("docs/data.md", "Your topic in ten minutes"), "sh")
    async with foreign_topic(installation) as topic:
        await send(installation, topic, [*map(change, range(200)), None, b"no JSON"])
        *first, last = [line.replace(TOPIC, topic).split() for line in block.splitlines()]
        done = [await installation.completed(*command) for command in first]
        with installation.command(*last, output=subprocess.DEVNULL, TXNWATCH_INGEST_PORT="0"):
            await until(partial(taken_over, installation, 200), within=60)
            by_user = await arrived(installation)

    assert [code for code, _ in done] == [0, 0], done
    assert "199,50 → 199.50" in done[0][1] or "0,50 → 0.50" in done[0][1]
    assert "200 of 200 records become transactions of 7 users" in done[1][1]
    assert (len(by_user), sum(map(len, by_user.values()))) == (7, 200)


async def test_what_is_no_topic_or_has_no_records_is_said_in_a_line(installation: Installation) -> None:
    async with foreign_topic(installation) as topic:
        empty = await installation.completed("txnwatch", "mapping", "guess", topic)
        absent = await installation.completed("txnwatch", "mapping", "check", "handbook", f"{topic}.not")

    assert (empty[0], "none of its 0 newest records" in empty[1]) == (1, True), empty
    assert (absent[0], "there is no such file, nor such a topic" in absent[1]) == (1, True), absent
