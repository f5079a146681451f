"""What a measurement runs on: the embedded services of one run, with topics and databases as needed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.embedded import cluster
from infra.embedded.cluster import Addresses
from infra.migrate import migrate

PARTITIONS = 4
COMMAND = Path(sys.executable).with_name("txnwatch")


@dataclass(frozen=True, slots=True)
class Bed:
    """Running services and a scratch folder."""

    addresses: Addresses
    folder: Path

    @property
    def kafka(self) -> str:
        """Kafka's address."""
        return self.addresses.kafka

    async def create_topics(self, *names: str, **config: str) -> None:
        """Topics of four partitions each."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            topics = [NewTopic(name, PARTITIONS, 1, topic_configs=config) for name in names]
            await admin.create_topics(topics)
        finally:
            await admin.close()

    async def database(self) -> str:
        """The URL of a new, migrated database."""
        name = f"bench_{uuid4().hex[:12]}"
        connection = await asyncpg.connect(self.addresses.postgres)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        url = urlsplit(self.addresses.postgres)._replace(path=f"/{name}").geturl()
        await migrate(url)
        return url


@contextmanager
def bed() -> Iterator[Bed]:
    """The services, for the length of the block; nothing of them stays."""
    folder = Path(tempfile.mkdtemp(prefix="txnwatch-bench-"))
    try:
        yield Bed(cluster.up(folder / "services"), folder)
    finally:
        cluster.down(folder / "services")
        shutil.rmtree(folder)


@dataclass(slots=True)
class Running:
    """A contender's process."""

    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        main = psutil.Process(self.process.pid)
        times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
        return sum(spent.user + spent.system for spent in times)

    def memory_bytes(self) -> int:
        """Resident memory of the process and its children."""
        main = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (main, *main.children(recursive=True)))

    def check(self) -> None:
        """RuntimeError, with the end of its log, when it has ended."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"ended with {self.process.returncode}:\n{tail}")


@contextmanager
def running(arguments: list[str | Path], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """A process while the block runs."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            arguments, env={**os.environ, **environment}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield Running(process, log)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
