"""An installation under test: the command line's processes, what goes into Kafka, what comes out."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from redis.asyncio import Redis

from schemas.checks import OPTIONAL
from stream_app.state.store import NO_USER, WindowStore
from tests.support.traffic import Sent

PATIENCE_SECONDS = 90


async def until(condition: Callable[[], Awaitable[bool]], *, within: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds; AssertionError when it does not within so many seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {within} s: {condition}"
        await asyncio.sleep(0.05)


class Installation:
    """One isolated set of topics, database and data folder, named by its environment variables."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.kafka = environment["KAFKA_BOOTSTRAP_SERVERS"]
        self.transactions = environment["TXNWATCH_TRANSACTIONS_TOPIC"]

    # --- processes

    @contextmanager
    def command(
        self, *arguments: str, output: int = subprocess.PIPE, **overrides: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A command of the virtual environment while the block runs; killed at its end if still there."""
        name, *rest = arguments
        process = subprocess.Popen(
            [Path(sys.executable).with_name(name), *rest],
            env={**os.environ, **self.environment, **overrides},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()

    async def completed(self, *arguments: str, **overrides: str) -> tuple[int, str]:
        """A command's exit code and what it printed, once it has ended by itself."""
        return await self.completed_within(60, *arguments, **overrides)

    async def completed_within(self, seconds: float, *arguments: str, **overrides: str) -> tuple[int, str]:
        """The same of one that may take so long."""
        with self.command(*arguments, output=subprocess.PIPE, **overrides) as process:
            output, _ = await asyncio.to_thread(process.communicate, timeout=seconds)
        return process.returncode, output.decode()

    @contextmanager
    def worker(self, **overrides: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker while the block runs."""
        settings = {"TXNWATCH_SESSION_SECONDS": "6"} | overrides
        with self.command("txnwatch", "worker", output=subprocess.DEVNULL, **settings) as process:
            yield process

    @asynccontextmanager
    async def administration(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """A client of the broker's administration."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    # --- in

    async def send(self, records: Iterable[tuple[bytes | None, bytes | None]], **options: Any) -> None:
        """Put records (key, value) on the input topic; a record without a key goes to partition 0."""
        async with AIOKafkaProducer(
            **{"bootstrap_servers": self.kafka, "linger_ms": 5, "max_request_size": 1 << 20} | options
        ) as producer:
            for key, value in records:
                partition = 0 if key is None else None
                await producer.send(self.transactions, value, key=key, partition=partition)

    async def send_transactions(self, transactions: Iterable[Sent], **options: Any) -> None:
        """Put transactions on the input topic."""
        await self.send(((sent.key, sent.value) for sent in transactions), **options)

    # --- out

    async def finished(self) -> bool:
        """Whether the group has committed all that the input topic holds."""
        return await self.committed() >= await self.produced()

    async def produced(self) -> int:
        """How many offsets the input topic's partitions have in all."""
        return sum((await self._ends(self.transactions)).values())

    async def committed(self) -> int:
        """The sum of the group's committed offsets."""
        async with self.administration() as admin:
            try:
                offsets = await admin.list_consumer_group_offsets(self.environment["TXNWATCH_APP_ID"])
            except GroupCoordinatorNotAvailableError:
                return 0  # the broker makes the offsets' own topic when a group first asks
        return sum(offset.offset for offset in offsets.values() if offset.offset > 0)

    async def read(self, variable: str) -> list[ConsumerRecord[bytes, bytes]]:
        """All committed records of the topic that the variable names, once no transaction is open there."""
        return await self.read_topic(self.environment[variable])

    async def read_changelog(self) -> list[ConsumerRecord[bytes, bytes]]:
        """All committed changes of users' windows, without what else the changelog says of itself."""
        records = await self.read_topic(f"{self.environment['TXNWATCH_APP_ID']}-windows-changelog")
        return [record for record in records if not (record.key or b"").startswith(NO_USER)]

    async def read_topic(self, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
        """All committed records of a topic, once no transaction is open there."""
        ends = await self._ends(topic)
        async with AIOKafkaConsumer(
            bootstrap_servers=self.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
        ) as consumer:
            consumer.assign(list(ends))
            records: list[ConsumerRecord[bytes, bytes]] = []
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
            return records

    async def _ends(self, topic: str) -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka) as consumer:
            numbers = await consumer._client._wait_on_metadata(topic)  # noqa: SLF001 - aiokafka hides it
            ends: dict[TopicPartition, int] = await consumer.end_offsets(
                [TopicPartition(topic, number) for number in sorted(numbers)]
            )
            return ends

    @asynccontextmanager
    async def postgres(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the installation's database."""
        connection = await asyncpg.connect(self.environment["POSTGRES_URL"])
        try:
            yield connection
        finally:
            await connection.close()

    async def rows(self) -> list[dict[str, Any]]:
        """All rows of Postgres in the shape of the JSON rows."""
        async with self.postgres() as connection:
            return [_row(record) for record in await connection.fetch("SELECT * FROM transactions")]

    async def mirrored(self) -> dict[str, list[str]]:
        """Each user's amounts in Redis, newest first; count, sum and mean checked against them."""
        async with Redis.from_url(self.environment["REDIS_URL"], decode_responses=True) as redis:
            return {user: await _amounts(redis, user) async for user in _users(redis)}

    def windows(self, datadir: Path | None = None) -> dict[str, list[int]]:
        """Each user's amounts in a stopped worker's RocksDB, oldest first."""
        folder = (datadir or Path(self.environment["TXNWATCH_DATADIR"])) / "windows"
        store = WindowStore(folder, cache_bytes=1 << 20, buffer_bytes=1 << 20)
        found: dict[str, list[int]] = {}
        for path in sorted(folder.iterdir()):
            partition = int(path.stem.removeprefix("windows-"))
            store.open(partition)
            found |= {user: window.amounts for user, window in store.windows(partition)}
            store.close(partition)
        return found

    async def shared(self, port: str) -> bool:
        """Whether the router of the worker at this port knows of partitions at two workers."""
        try:
            status, text = await self.get("/router/windows/", port)
        except OSError:
            return False
        return status == 200 and len([url for url, topics in json.loads(text).items() if topics]) == 2

    async def get(self, path: str, port: str | None = None) -> tuple[int, str]:
        """Status and text of a worker's web view."""
        url = f"http://127.0.0.1:{port or self.environment['TXNWATCH_WEB_PORT']}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()


async def ended(worker: subprocess.Popen[bytes]) -> int:
    """Stop the worker as an operator does; its exit code."""
    worker.send_signal(signal.SIGTERM)
    return await asyncio.to_thread(worker.wait, 20)


def json_of(records: Sequence[ConsumerRecord[bytes, bytes]]) -> list[dict[str, Any]]:
    """The records' values as JSON."""
    return [json.loads(record.value or b"null") for record in records]


def twice_or_more(names: Iterable[str]) -> dict[str, int]:
    """What occurs more than once, and how often."""
    return {name: count for name, count in Counter(names).items() if count > 1}


def _row(record: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": str(record["id"]),
        "user_id": str(record["user_id"]),
        "amount": str(record["amount"]),
        "currency": record["currency"],
        "txn_date": record["txn_date"].isoformat().replace("+00:00", "Z"),
        "status": record["status"],
        "meta_data": json.loads(record["meta_data"]),
        **{name: record[name] for name in OPTIONAL if record[name] is not None},
    }


async def _users(redis: Redis) -> AsyncIterator[str]:
    async for key in redis.scan_iter("user:*:window"):
        yield key.split(":")[1]


async def _amounts(redis: Redis, user: str) -> list[str]:
    window: Any = await redis.hgetall(f"user:{user}:window")
    amounts: Any = await redis.lrange(f"user:{user}:txn_amounts", 0, -1)
    total = sum(int(amount.replace(".", "")) for amount in amounts)
    assert int(window["count"]) == len(amounts)
    assert int(window["sum"].replace(".", "")) == total
    assert abs(int(window["mean"].replace(".", "")) - total / len(amounts)) <= 0.5
    return list(amounts)
