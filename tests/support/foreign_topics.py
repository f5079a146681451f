"""Records of topics whose messages are not ours, and the mapping that fits them."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid5

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from infra.ingest.decoding import Decoding
from infra.ingest.registry import Registry
from infra.ingest.settings import Settings
from schemas.mapping import load_mapping
from schemas.mapping.ids import NAMESPACE
from tests.support.installation import Installation, json_of, until
from tests.support.oracle import replay
from tests.support.traffic import Sent

MAPPING = """
[id]
from = "ref"
read = "uuid5"
[user_id]
from = "customer"
[amount]
from = "value"
[txn_date]
from = "at"
[currency]
from = "ccy"
[status]
value = "paid"
"""


@dataclass
class Foreign:
    """A record as it is fetched."""

    value: bytes | None
    offset: int = 0
    timestamp: int = 1_700_000_000_000
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=tuple)


def fields_of(sent: Sent) -> dict[str, Any]:
    """The transaction as another system calls its parts."""
    return {
        "ref": sent.id,
        "customer": sent.user_id,
        "value": sent.amount,
        "at": sent.txn_date,
        "ccy": sent.currency,
    }


def foreign(sent: Sent) -> bytes:
    """The transaction as another system writes it."""
    return json.dumps(fields_of(sent)).encode()


def decoding(source: str = "", mapping: str = MAPPING, registry: Registry | None = None) -> Decoding:
    """What reads records of a mapping with this `[source]`."""
    settings = Settings()
    its = registry or Registry(settings.schema_registry_url, settings.schema_registry_token)
    return Decoding(load_mapping(f"{mapping}\n[source]\n{source}"), its)


def partition(number: int, topic: str = "payments") -> TopicPartition:
    """A partition of a foreign topic."""
    return TopicPartition(topic, number)


@asynccontextmanager
async def foreign_topic(installation: Installation, partitions: int = 3) -> AsyncIterator[str]:
    """The name of a topic of another system's, which exists while the block runs."""
    name = f"{installation.environment['TXNWATCH_APP_ID']}.payments"
    async with installation.administration() as admin:
        await admin.create_topics([NewTopic(name, partitions, 1)])
        try:
            yield name
        finally:
            await admin.delete_topics([name])


async def pour(installation: Installation, topic: str, sent: Sequence[Sent], enough: asyncio.Event) -> None:
    """Send some all the time until it is enough, and then the rest, each once."""
    its = {"bootstrap_servers": installation.kafka, "linger_ms": 5, "enable_idempotence": True}
    async with AIOKafkaProducer(**its) as producer:
        for number, one in enumerate(sent):
            await producer.send(topic, foreign(one), key=one.key)
            if number % 10 == 0 and not enough.is_set():
                await asyncio.sleep(0.1)


@contextmanager
def ingesting(
    installation: Installation, topic: str, mapping: Path, *options: str, **overrides: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`txnwatch ingest` of the topic from its beginning, as the block runs; its log is beside the mapping."""
    its = {"TXNWATCH_INGEST_PORT": "0", "TXNWATCH_SESSION_SECONDS": "6"} | overrides
    arguments = "ingest", "--mapping", str(mapping), "--topic", topic, "--from-beginning", *options
    with (
        mapping.with_suffix(".log").open("ab") as log,
        installation.command("txnwatch", *arguments, output=log.fileno(), **its) as process,
    ):
        yield process


async def taken_over(installation: Installation, count: int) -> bool:
    """Whether the input topic has so many records that can be read."""
    return len(await installation.read("TXNWATCH_TRANSACTIONS_TOPIC")) >= count


async def arrived(installation: Installation) -> dict[bytes, list[str]]:
    """By user, the ids of the records on the input topic in their order; a user is on one partition."""
    found: dict[bytes, list[str]] = {}
    places: dict[bytes, int] = {}
    for record in sorted(
        await installation.read("TXNWATCH_TRANSACTIONS_TOPIC"), key=attrgetter("partition", "offset")
    ):
        assert places.setdefault(record.key, record.partition) == record.partition
        found.setdefault(record.key, []).append(json.loads(record.value)["id"])
    return found


def by_user(sent: Iterable[Sent]) -> dict[bytes, list[str]]:
    """What `arrived` has to be."""
    found: dict[bytes, list[str]] = {}
    for one in sent:
        found.setdefault(one.key, []).append(str(uuid5(NAMESPACE, one.id)))
    return found


async def by_timestamps(installation: Installation, topic: str, sent: Iterable[Sent]) -> list[Sent]:
    """What was sent, in the order of the timestamps on the topic; those of one in that of their places."""
    records, its = await installation.read_topic(topic), {one.id: one for one in sent}
    records.sort(key=attrgetter("timestamp", "partition", "offset"))
    return [its[json.loads(record.value or b"")["ref"]] for record in records]


Verdicts: TypeAlias = dict[str, list[tuple[str, bool]]]
"""By user, the ids of the transactions in their order, each with whether it is flagged."""


def replayed(sent: Iterable[Sent]) -> Verdicts:
    """What `verdicts` has to be: a plain loop over the transactions in this order."""
    found: Verdicts = {}
    for one, _, is_flag in replay(sent).scored:
        found.setdefault(one.user_id, []).append((str(uuid5(NAMESPACE, one.id)), is_flag))
    return found


async def verdicts(installation: Installation) -> Verdicts:
    """What a worker makes of the input topic."""
    with installation.worker(TXNWATCH_SINKS=""):
        await until(installation.finished)
        records = await installation.read("TXNWATCH_SCORED_TOPIC")
    found: Verdicts = {}
    for row in json_of(sorted(records, key=attrgetter("partition", "offset"))):
        found.setdefault(row["user_id"], []).append((row["id"], row["meta_data"]["is_anomaly"]))
    return found
