"""`ingest`: a foreign topic in JSON and in Avro, mapped to transactions exactly once, beside a plain loop."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Literal
from uuid import UUID

import click
import fastavro
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from benchmarks.bed import PARTITIONS, Bed, new_run
from benchmarks.contenders import TXNWATCH
from benchmarks.environments import ROOT
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.process import Command, Running, running
from benchmarks.result import Cell, Column, Figure, Result, ratio

Format = Literal["json", "avro"]

PATIENCE_SECONDS = 900
POLL_SECONDS = 0.05
SEED = 20260101
START = datetime(2025, 1, 1, tzinfo=UTC)
SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "ref", "type": "string"},
        {"name": "customer", "type": "string"},
        {"name": "value", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
        {"name": "ccy", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
MAPPING = """
id = { from = "ref", read = "uuid5" }
user_id = { from = "customer" }
amount = { from = "value" }
txn_date = { from = "at" }
currency = { from = "ccy" }
status = { value = "paid" }
"""
COLUMNS = [
    Column("name", "what"),
    Column("rate", "records/s"),
    Column("cpu", "CPU µs each", ",.1f"),
    Column("times", "of the plain loop", ",.1f"),
]
METHOD = (
    "From the first record on the topic of transactions to the last, by the broker's clock; one process, the "
    "broker on the same cores. `plain loop`: aiokafka's own transactions, `json`, a record at a time."
)
JSON, AVRO, SORTED, PLAIN = "JSON", "Avro", "JSON, --order timestamps", "plain loop (JSON)"


async def ingest(loads: Loads, options: Options) -> Result:
    """Each in turn, on the same topics."""
    bed, count = loads.bed, options.count // 2
    laps: dict[str, list[tuple[float, float]]] = {name: [] for name in (JSON, AVRO, SORTED, PLAIN)}
    async with _registry() as registry:
        topics = {one: await _filled(bed, one, count, options.users) for one in ("json", "avro")}
        for _ in range(options.rounds):
            for name, its in laps.items():
                its.append(await _lap(bed, name, topics["avro" if name == AVRO else "json"], count, registry))
                click.echo(f"  {name}: {its[-1][0]:,.0f}/s, {its[-1][1]:.1f} us of CPU each")
    rates = {name: median(rate for rate, _ in its) for name, its in laps.items()}
    return Result(
        name="ingest",
        title="a foreign topic mapped to transactions, exactly once; one process",
        setting=options.setting(count),
        columns=COLUMNS,
        rows=[_row(name, its, rates) for name, its in laps.items()],
        figures=[
            Figure("JSON", rates[JSON], 40_000, unit="/s"),
            Figure("Avro, of JSON", ratio(rates[AVRO], rates[JSON]), 0.8),
            Figure("JSON, of the plain loop", ratio(rates[JSON], rates[PLAIN])),
        ],
        notes=[METHOD],
    )


def _row(name: str, laps: Sequence[tuple[float, float]], rates: dict[str, float]) -> dict[str, Cell]:
    cpu = median(its for _, its in laps)
    return {"name": name, "rate": rates[name], "cpu": cpu, "times": ratio(rates[name], rates[PLAIN])}


@dataclass(frozen=True, slots=True)
class _Payment:
    """A payment by its number."""

    ref: str
    customer: str
    hundredths: int
    at: datetime

    def encoded(self, written: Format) -> bytes:
        fields: dict[str, Any] = {"ref": self.ref, "customer": self.customer, "ccy": "INR"}
        value = Decimal(self.hundredths).scaleb(-2)
        if written == "json":
            at = self.at.isoformat().replace("+00:00", "Z")
            return json.dumps({**fields, "value": str(value), "at": at}).encode()
        stream = BytesIO(b"\0\0\0\0\1")
        stream.seek(5)
        fastavro.schemaless_writer(stream, PARSED, {**fields, "value": value, "at": self.at})
        return stream.getvalue()


PARSED = fastavro.parse_schema(SCHEMA)


def _payments(count: int, users: int) -> Iterator[_Payment]:
    random = Random(SEED)  # noqa: S311 - reproducible, not secret
    customers = [str(UUID(int=random.getrandbits(128))) for _ in range(users)]
    for number in range(count):
        at = START + timedelta(seconds=number)
        yield _Payment(f"P-{number:09}", random.choice(customers), random.randrange(100, 1_000_000), at)


async def _filled(bed: Bed, written: Format, count: int, users: int) -> str:
    topic = f"payments-{written}-{count}"
    click.echo(f"  filling a topic: {count:,} payments in {written}")
    await bed.create_topics(topic)
    async with AIOKafkaProducer(
        bootstrap_servers=bed.kafka, compression_type="lz4", max_batch_size=1 << 18, linger_ms=5
    ) as producer:
        for payment in _payments(count, users):
            await producer.send(topic, payment.encoded(written), key=payment.customer.encode())
    return topic


@asynccontextmanager
async def _registry() -> AsyncIterator[str]:
    """The URL of a registry that has the one schema."""
    app = web.Application()

    async def schema(_request: web.Request) -> web.Response:
        return web.json_response({"schema": json.dumps(SCHEMA)})

    app.router.add_get("/schemas/ids/1", schema)
    async with TestServer(app) as server:
        yield str(server.make_url(""))


async def _lap(bed: Bed, name: str, topic: str, count: int, registry: str) -> tuple[float, float]:
    """Records a second, and CPU microseconds a record."""
    run = new_run()
    target = f"{run}.transactions"
    await bed.create_topics(target, **{"message.timestamp.type": "LogAppendTime"})
    await bed.create_topics(f"{run}.dlq")
    try:
        command = _command(bed, name, topic, run, registry)
        with running(command) as process:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await _committed(bed, f"{run}-ingest", count, process)
            cpu = process.cpu_seconds()
        first, last = await _times(bed, target)
        return count / (last - first), cpu / count * 1e6
    finally:
        await bed.clean(run)


def _command(bed: Bed, name: str, topic: str, run: str, registry: str) -> Command:
    folder = bed.scratch(run)
    log, environment = folder / "ingest.log", {
        **bed.addresses.as_env(),
        "PYTHONPATH": str(ROOT),
        "TXNWATCH_APP_ID": run,
        "TXNWATCH_TRANSACTIONS_TOPIC": f"{run}.transactions",
        "TXNWATCH_DLQ_TOPIC": f"{run}.dlq",
        "TXNWATCH_INGEST_PORT": "0",
        "TXNWATCH_SCHEMA_REGISTRY_URL": registry,
    }  # fmt: skip
    if name == PLAIN:
        arguments = [bed.kafka, topic, f"{run}.transactions", f"{run}-ingest"]
        return Command([sys.executable, "-m", "benchmarks.peers.plain_ingest", *arguments], environment, log)
    mapping = folder / "mapping.toml"
    mapping.write_text(MAPPING)
    order = ["--order", "timestamps"] if name == SORTED else []
    quiet = "--from-beginning", "--loglevel", "WARNING"
    options: list[str | Path] = ["--mapping", mapping, "--topic", topic, *quiet, *order]
    return Command([TXNWATCH, "ingest", *options], environment, log)


async def _committed(bed: Bed, group: str, count: int, process: Running) -> None:
    """Return once the group has read so many records."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bed.kafka)
    await admin.start()
    try:
        reached = 0
        while reached < count:
            process.check()
            await asyncio.sleep(POLL_SECONDS)
            try:
                offsets = await admin.list_consumer_group_offsets(group)
            except KafkaError:
                continue  # nobody has asked for a group before
            reached = sum(max(0, one.offset) for one in offsets.values())
    finally:
        await admin.close()


async def _times(bed: Bed, topic: str) -> tuple[float, float]:
    """When the first and the last record came to the topic, in seconds."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    stamps = []
    async with AIOKafkaConsumer(bootstrap_servers=bed.kafka, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        for one, end in (await consumer.end_offsets(partitions)).items():
            for offset in (0, end - 2):  # the last is a commit's marker
                consumer.seek(one, offset)
                stamps.append((await consumer.getone(one)).timestamp / 1000)
    return min(stamps), max(stamps)
