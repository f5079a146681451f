"""Producers of others, as they are by default, in front of `txnwatch ingest`."""

import asyncio
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.foreign_clients import Installed
from tests.support.foreign_topics import (
    MAPPING,
    by_timestamps,
    foreign,
    foreign_topic,
    ingesting,
    replayed,
    taken_over,
    verdicts,
)
from tests.support.installation import Installation, ended, until
from tests.support.traffic import Sent, traffic

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

CLIENTS = ("JavaProducer", "confluent-kafka", "kafkago", "kafkajs")
MERGED = ("--order", "timestamps")
WAYS = [
    *((name, "users") for name in CLIENTS),
    *((name, "null") for name in CLIENTS),
    ("JavaProducer", "round robin"),
]


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(MAPPING)
    return path


async def send(command: Sequence[str], folder: Path, sent: Sequence[Sent], pace: float = 0) -> None:
    """Give them to the program, fifty at a time with a pause, and wait until it has sent all."""
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdin=subprocess.PIPE)
    assert process.stdin is not None
    for start in range(0, len(sent), 50):
        lines = (b"%s\t%s\n" % (one.key, foreign(one)) for one in sent[start : start + 50])
        process.stdin.write(b"".join(lines))
        await process.stdin.drain()
        await asyncio.sleep(pace)
    process.stdin.close()
    assert await process.wait() == 0


@pytest.mark.parametrize(("name", "keys"), WAYS)
async def test_what_a_client_sends_is_scored_in_the_order_of_its_timestamps(
    name: str, keys: str, installed: Installed, installation: Installation, mapping: Path
) -> None:
    # kafka-go puts messages with keys on all partitions, too.
    options = () if keys == "users" and name != "kafkago" else MERGED
    sent, command = traffic(2000, users=20), await asyncio.to_thread(installed.command, name)
    async with foreign_topic(installation, 4) as topic:
        with ingesting(installation, topic, mapping, *options) as process:
            await send([*command, installation.kafka, topic, keys], installed.folder, sent)
            await until(lambda: taken_over(installation, 2000))
            assert await ended(process) == 0
        assert await verdicts(installation) == replayed(await by_timestamps(installation, topic, sent))


@pytest.mark.parametrize("keys", ["users", "null"])
async def test_all_clients_at_once_are_scored_in_the_order_of_their_timestamps(
    keys: str, installed: Installed, installation: Installation, mapping: Path
) -> None:
    """Of the same users. Each keeps records back in its own way before it sends them: timestamps fall."""
    sent = traffic(8000, users=40)
    commands = [await asyncio.to_thread(installed.command, name) for name in CLIENTS]
    async with foreign_topic(installation, 4) as topic:
        options = *MERGED, "--wait", "4"
        with (
            ingesting(installation, topic, mapping, *options) as one,
            ingesting(installation, topic, mapping, *options) as other,
        ):
            sending = [
                asyncio.create_task(
                    send([*command, installation.kafka, topic, keys], installed.folder, sent[n::4], 0.2)
                )
                for n, command in enumerate(commands)
            ]
            await until(lambda: taken_over(installation, 2000))
            one.send_signal(signal.SIGKILL)
            await asyncio.gather(*sending)
            await until(lambda: taken_over(installation, 8000))
            assert await ended(other) == 0
        assert await verdicts(installation) == replayed(await by_timestamps(installation, topic, sent))
