"""Kafka, Postgres and Redis for the tests: given ones, containers, or the embedded ones."""

import asyncio
import gc
import os
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import redis
from aiokafka.admin import AIOKafkaAdminClient

from infra.embedded import cluster
from infra.embedded.cluster import Addresses
from infra.embedded.kafka import Kafka, has_broker
from infra.migrate import migrate
from infra.runtime.settings import Settings
from infra.topics import ensure_topics

Choice = Literal["environment", "containers", "embedded"]

KAFKA_IMAGE = "apache/kafka:4.1.1"
POSTGRES_IMAGE = "postgres:18.1-bookworm"
VALKEY_IMAGE = "valkey/valkey:9.0.0-alpine"
_POSTGRES_VARIABLES = {
    "POSTGRES_USER": "txnwatch",
    "POSTGRES_DB": "txnwatch",
    "POSTGRES_HOST_AUTH_METHOD": "trust",
}
_CONTAINER_SECONDS = 120.0
_MEMORY_BYTES = 4 << 30
_POLL_SECONDS = 0.1
_DROP_SECONDS = 30.0
"""One process of the server that stands still keeps every database from being dropped."""


def choose() -> Choice:
    """The first that is there: addresses in the environment, a Docker engine, our own."""
    if given_addresses() is not None:
        return "environment"
    return "containers" if docker_answers() else "embedded"


def given_addresses() -> Addresses | None:
    """What the environment says, if it names all three."""
    try:
        return Addresses(
            kafka=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            postgres=os.environ["POSTGRES_URL"],
            redis=os.environ["REDIS_URL"],
        )
    except KeyError:
        return None


@contextmanager
def running(choice: Choice) -> Iterator[Addresses]:
    """The services while the block runs; those that were started for it end with it."""
    if choice == "environment":
        given = given_addresses()
        assert given is not None
        yield given
    elif choice == "containers":
        with _containers() as addresses:
            yield addresses
    else:
        with embedded_datadir() as datadir:
            yield cluster.up(datadir)


def compile_less() -> None:
    """Let the embedded Kafka's Java compile quickly, not well: a broker of the tests ends within minutes."""
    Kafka.java_options += ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


@contextmanager
def embedded_datadir() -> Iterator[Path]:
    """A data folder whose services are stopped, and which is removed, at the end.

    Not pytest's tmp_path: as root the database's account has to reach it, and each pytest
    that starts closes the folders of tmp_path to other accounts again.
    """
    datadir = Path(tempfile.mkdtemp(prefix="txnwatch-", dir=_in_memory()))
    try:
        yield datadir
    finally:
        cluster.down(datadir)
        shutil.rmtree(datadir)


def _in_memory() -> Path | None:
    """A folder in memory, if it has room: on a busy disk a database that is made waits for seconds."""
    folder = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
    return folder if folder.exists() and shutil.disk_usage(folder).free > _MEMORY_BYTES else None


@asynccontextmanager
async def empty_database(server_url: str, *, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new database on this server, without a schema or a copy, dropped at the end."""
    name = f"test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)", seconds=_DROP_SECONDS)


@asynccontextmanager
async def copied_database(url: str) -> AsyncIterator[str]:
    """The URL of a copy of a database that nobody is connected to, dropped at the end."""
    server = urlsplit(url)._replace(path="/postgres").geturl()
    async with empty_database(server, template=urlsplit(url).path[1:]) as copy:
        yield copy


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """The URL of a new, migrated database on this server, dropped at the end."""
    async with empty_database(server_url) as url:
        await migrate(url)
        yield url


@asynccontextmanager
async def fresh_topics(bootstrap: str, *, partitions: int = 4) -> AsyncIterator[Settings]:
    """Settings with an app id and topics that nobody else has; the topics exist until the end."""
    settings = unique_settings(bootstrap).model_copy(update={"partitions": partitions})
    await ensure_topics(settings)
    try:
        yield settings
    finally:
        await delete_topics(settings)


def unique_settings(bootstrap: str) -> Settings:
    """Settings whose app id and topics exist nowhere yet."""
    prefix = f"test-{uuid4().hex[:12]}"
    return Settings(
        kafka=bootstrap,
        app_id=prefix,
        transactions_topic=f"{prefix}.transactions",
        scored_topic=f"{prefix}.transactions.scored",
        anomalies_topic=f"{prefix}.anomalies",
        dlq_topic=f"{prefix}.transactions.dlq",
        partitions=4,
        replication=1,
    )


async def delete_topics(settings: Settings) -> None:
    """Remove those of the topics that exist."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
        names = {*settings.topics} & set(await admin.list_topics())
        if names:
            await admin.delete_topics(sorted(names))
    finally:
        await admin.close()


@contextmanager
def empty_redis_database(server_url: str) -> Iterator[str]:
    """The URL of a numbered database that nobody uses, emptied again at the end."""
    for number in range(1, 16):
        url = urlsplit(server_url)._replace(path=f"/{number}").geturl()
        with redis.Redis.from_url(url) as client:
            if client.dbsize() == 0:
                try:
                    yield url
                finally:
                    client.flushdb()
                return
    raise RuntimeError("every database of the Redis server from 1 to 15 has keys: empty one for the tests")


def installation_variables(topics: Settings, database: str, redis_url: str, datadir: Path) -> dict[str, str]:
    """Every variable of one installation, for commands run beside a test."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": topics.kafka,
        "POSTGRES_URL": database,
        "REDIS_URL": redis_url,
        "TXNWATCH_APP_ID": topics.app_id,
        "TXNWATCH_TRANSACTIONS_TOPIC": topics.transactions_topic,
        "TXNWATCH_SCORED_TOPIC": topics.scored_topic,
        "TXNWATCH_ANOMALIES_TOPIC": topics.anomalies_topic,
        "TXNWATCH_DLQ_TOPIC": topics.dlq_topic,
        "TXNWATCH_CONTROL_TOPIC": topics.control_topic,
        "TXNWATCH_PARTITIONS": str(topics.partitions),
        "TXNWATCH_REPLICATION": str(topics.replication),
        "TXNWATCH_SINKS": "postgres,redis",
        "TXNWATCH_DATADIR": str(datadir),
        "TXNWATCH_WEB_HOST": "127.0.0.1",
        "TXNWATCH_WEB_PORT": str(free_port()),
        "TXNWATCH_API_HOST": "127.0.0.1",
        "TXNWATCH_API_PORT": str(free_port()),
        "TXNWATCH_API_DRAIN_SECONDS": "0",
        "TXNWATCH_CORS_ORIGINS": "local",
        "TXNWATCH_MAX_MESSAGE_BYTES": "65536",
    }


def free_port() -> int:
    """A port of localhost that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _execute(url: str, statement: str, *, seconds: float | None = None) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, timeout=seconds)
    finally:
        await connection.close()


def docker_answers() -> bool:
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings():
        # A client that reaches no engine leaves its socket for the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return bool(DockerClient(timeout=5).client.ping())
        except Exception:  # noqa: BLE001 - whatever keeps an engine from answering, there is none to use
            return False
        finally:
            gc.collect()


@contextmanager
def _containers() -> Iterator[Addresses]:
    """The three services in containers, each on a port of this machine."""
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415 - slow to import

    host = DockerClient().host()
    kafka, postgres, valkey = free_port(), free_port(), free_port()
    addresses = Addresses(
        kafka=f"{host}:{kafka}",
        postgres=f"postgresql://txnwatch@{host}:{postgres}/txnwatch",
        redis=f"redis://{host}:{valkey}/0",
    )
    with ExitStack() as stack:
        stack.enter_context(_container(KAFKA_IMAGE, 9094, kafka, _kafka_variables(addresses.kafka)))
        stack.enter_context(_container(POSTGRES_IMAGE, 5432, postgres, _POSTGRES_VARIABLES))
        stack.enter_context(_container(VALKEY_IMAGE, 6379, valkey, {}))
        _wait_for("Kafka", lambda: asyncio.run(has_broker(addresses.kafka)))
        _wait_for("Postgres", lambda: asyncio.run(_postgres_answers(addresses.postgres)))
        _wait_for("Valkey", lambda: _redis_answers(addresses.redis))
        yield addresses


def _container(
    image: str, inside: int, outside: int, variables: dict[str, str]
) -> AbstractContextManager[Any]:
    """A container whose port `inside` is this machine's port `outside` while the block runs."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow to import

    container: AbstractContextManager[Any] = (
        DockerContainer(image).with_envs(**variables).with_bind_ports(inside, outside)
    )
    return container


def _kafka_variables(address: str) -> dict[str, str]:
    """A single node that tells clients the address by which they reach it, and itself another."""
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LISTENERS": "INSIDE://:9092,CONTROLLER://:9093,MACHINE://:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://localhost:9092,MACHINE://{address}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INSIDE:PLAINTEXT,MACHINE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }


def _wait_for(name: str, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _CONTAINER_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the container of {name} did not answer within {_CONTAINER_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


async def _postgres_answers(url: str) -> bool:
    try:
        await _execute(url, "SELECT 1")
    except (asyncpg.PostgresError, OSError):
        return False
    return True


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
