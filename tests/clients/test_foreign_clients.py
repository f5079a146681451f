"""The clients of others, as their documentation has them used, lose nothing and get nothing twice."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from yarl import URL

from infra.embedded import cluster
from infra.migrate import migrate
from infra.runtime.settings import Settings as TopicSettings
from infra.topics import ensure_topics
from tests.support.api_process import listening
from tests.support.feed_clients import FeedClient, Network, feed_client, network
from tests.support.rows import Made, Worker, made, user
from tests.support.services import embedded_datadir

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAMS = Path(__file__).parent / "programs"
ALICE, BOB = user(1), user(2)
OPENING = b"data: {}\n\n"
NPM = ("eventsource", "eventsource-client", "fetch-event-source", "launchdarkly-eventsource")
PYPI = ("httpx-sse", "sseclient-py")
GO = ("r3labs", "tmaxmax")


class Installed:
    """The programs with what they need, each kind installed when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)

    def command(self, name: str) -> list[str]:
        """How to run a client's program, but for the address."""
        if name in NPM:
            self._once(
                "node_modules", "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"
            )
            return ["node", f"{name}.mjs"]
        if name in PYPI:
            if self._once("python", sys.executable, "-m", "venv", "python"):
                self._run("python/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
            return ["python/bin/python", f"over_{name.replace('-', '_')}.py"]
        if name in GO:
            if not (self.folder / "go/go.sum").exists():
                self._run("go", "-C", "go", "mod", "tidy")
            self._once(name, "go", "-C", "go", "build", "-o", f"../{name}", f"./{name}")
            return [f"./{name}"]
        classes = "dependency:build-classpath", "-Dmdep.outputFile=classpath"
        self._once("classpath", "mvn", "--quiet", "--batch-mode", *classes)
        return ["java", "-cp", (self.folder / "classpath").read_text(), "OkHttpEventSource.java"]

    def _once(self, made: str, *command: str) -> bool:
        if (self.folder / made).exists():
            return False
        self._run(*command)
        return True

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def datadir() -> Iterator[Path]:
    """Services of these tests' own, since Kafka is stopped for a while."""
    with embedded_datadir() as folder:
        addresses = cluster.up(folder)
        asyncio.run(_prepare(addresses))
        yield folder


async def _prepare(addresses: cluster.Addresses) -> None:
    await migrate(addresses.postgres)
    await ensure_topics(TopicSettings(kafka=addresses.kafka))


def rows(first: int, count: int) -> list[Made]:
    return [made(ALICE, n) for n in range(first, first + count)]


async def published(datadir: Path, many: list[Made]) -> None:
    async with Worker(cluster.up(datadir).kafka, "transactions.scored") as worker:
        await worker.publish(*many, *(made(BOB, n) for n in range(len(many))), each=3)


@pytest.mark.parametrize("name", [*NPM, *PYPI, "okhttp-eventsource", *GO])
async def test_a_client_that_is_cut_off_misses_nothing(
    name: str, installed: Installed, datadir: Path, tmp_path: Path
) -> None:
    command = await asyncio.to_thread(installed.command, name)
    environment = {
        **cluster.up(datadir).as_env(),
        "TXNWATCH_API_PORT": "0",
        "TXNWATCH_API_DEPENDENCY_SECONDS": "1",
        "TXNWATCH_SSE_RETRY_MILLISECONDS": "200",
        "TXNWATCH_DATADIR": str(tmp_path),
    }
    async with listening(environment, tmp_path) as api, network(URL(api.url).port or 0) as between:
        feed = f"http://127.0.0.1:{between.port}/sse/transactions/{ALICE}"
        async with feed_client([*command, feed], installed.folder) as client:
            await _before_its_first_row(client, between, datadir)
            await _while_kafka_does_not_answer(client, between, datadir)
            await _again_and_again(client, between, datadir)


async def _before_its_first_row(client: FeedClient, between: Network, datadir: Path) -> None:
    await between.brings(OPENING)
    between.cut()
    await published(datadir, rows(0, 5))
    between.mend()
    await client.has(5)
    assert client.ids == [one.txn.id for one in rows(0, 5)]


async def _while_kafka_does_not_answer(client: FeedClient, between: Network, datadir: Path) -> None:
    between.cut()
    await published(datadir, rows(5, 5))
    kafka = cluster.status(datadir)["kafka"].pid
    assert kafka is not None
    os.kill(kafka, signal.SIGSTOP)
    try:
        between.mend()
        await between.brings(b": unavailable\n")
    finally:
        os.kill(kafka, signal.SIGCONT)
    await client.has(10)
    assert client.ids == [one.txn.id for one in rows(0, 10)]


async def _again_and_again(client: FeedClient, between: Network, datadir: Path) -> None:
    for first in range(10, 90, 20):
        await published(datadir, rows(first, 10))
        await client.has(first + 5)
        between.cut()
        await published(datadir, rows(first + 10, 10))
        between.mend()
    await client.has(90)
    assert client.ids == [one.txn.id for one in rows(0, 90)]
