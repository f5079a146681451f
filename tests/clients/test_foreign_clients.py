"""The clients of others, as their documentation has them used, lose nothing and get nothing twice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from yarl import URL

from infra.embedded import cluster
from infra.migrate import migrate
from infra.runtime.settings import Settings as TopicSettings
from infra.topics import ensure_topics
from tests.support.api_process import listening
from tests.support.feed_clients import FeedClient, Network, feed_client, network
from tests.support.foreign_clients import Installed
from tests.support.rows import Made, Worker, made, user
from tests.support.services import embedded_datadir
from tests.support.standing_still import standing_still

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

ALICE, BOB = user(1), user(2)
OPENING = b"data: {}\n\n"
CLIENTS = (
    "OkHttpEventSource", "eventsource", "eventsource-client", "fetch-event-source", "httpx-sse",
    "launchdarkly-eventsource", "r3labs", "sseclient-py", "tmaxmax",
)  # fmt: skip


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


@pytest.mark.parametrize("name", CLIENTS)
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
    with standing_still(psutil.Process(kafka)):
        between.mend()
        await between.brings(b": unavailable\n")
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
