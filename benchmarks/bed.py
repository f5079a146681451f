"""What the measurements run on: embedded services, with topics and databases as each run needs them."""

import asyncio
import logging
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from redis.asyncio import Redis

from infra.embedded import cluster
from infra.embedded.cluster import Addresses
from infra.migrate import migrate

PARTITIONS = 4
POLL_SECONDS = 0.05


@dataclass(slots=True)
class Bed:
    """Running services and a scratch folder."""

    addresses: Addresses
    folder: Path
    databases: dict[str, str] = field(default_factory=dict)

    @property
    def kafka(self) -> str:
        """Kafka's address."""
        return self.addresses.kafka

    def scratch(self, run: str) -> Path:
        """The folder of a run, made if absent."""
        folder = self.folder / run
        folder.mkdir(exist_ok=True)
        return folder

    async def create_topics(self, *names: str, **config: str) -> None:
        """Topics of four partitions each."""
        await self._create(*(NewTopic(name, PARTITIONS, 1, topic_configs=config) for name in names))

    async def create_wide_topic(self, name: str, partitions: int) -> None:
        """Make a topic with this number of partitions."""
        await self._create(NewTopic(name, partitions, 1))

    async def _create(self, *topics: NewTopic) -> None:
        async with _admin(self.kafka) as admin:
            response = await admin.create_topics(list(topics))
            for name, code, *_rest in response.topic_errors:
                if code:
                    raise for_code(code)(name)
            # The broker tells nobody of new leaders: it has to be asked.
            while not await _are_led(admin, {topic.name: topic.num_partitions for topic in topics}):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)

    async def database(self, run: str) -> str:
        """The URL of the run's database, new and migrated when first asked for."""
        if run not in self.databases:
            await self._in_postgres(f"CREATE DATABASE {run}")
            url = urlsplit(self.addresses.postgres)._replace(path=f"/{run}").geturl()
            await migrate(url)
            self.databases[run] = url
        return self.databases[run]

    async def clean(self, run: str) -> None:
        """Remove all that a run left: what it used in the background is not to burden the next one."""
        shutil.rmtree(self.folder / run, ignore_errors=True)
        async with _admin(self.kafka) as admin:
            await admin.delete_topics([name for name in await admin.list_topics() if run in name])
        if self.databases.pop(run, None) is not None:
            await self._in_postgres(f"DROP DATABASE {run} WITH (FORCE)")
            await self._in_postgres("CHECKPOINT")
        async with Redis.from_url(self.addresses.redis) as redis:
            await redis.flushall()

    async def _in_postgres(self, statement: str) -> None:
        connection = await asyncpg.connect(self.addresses.postgres)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def bed() -> Iterator[Bed]:
    """The services, for the length of the block; nothing of them stays."""
    folder = Path(tempfile.mkdtemp(prefix="txnwatch-bench-"))
    # Postgres runs under an account of its own when we are root, and has to get into the folder.
    folder.chmod(0o755)
    # Asking for a topic that was made a moment ago makes its clients log errors, and ask again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        yield Bed(cluster.up(folder / "services"), folder)
    finally:
        cluster.down(folder / "services")
        shutil.rmtree(folder)


def new_run() -> str:
    """A name for a run, good for topics, databases and folders."""
    return f"run{uuid4().hex[:10]}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def _are_led(admin: AIOKafkaAdminClient, topics: dict[str, int]) -> bool:
    """Whether each topic has a leader for this number of partitions."""
    known: dict[str, list[dict[str, Any]]] = {
        one["topic"]: one["partitions"] for one in await admin.describe_topics([*topics])
    }
    return all(len([one for one in known[name] if one["leader"] >= 0]) == topics[name] for name in topics)
