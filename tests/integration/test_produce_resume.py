"""`txnwatch produce --resume`: a file is sent once, however often its sending is ended."""

import asyncio
import gzip
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from infra.produce.position import PositionFile
from infra.runtime.settings import Settings

HEADER = "id,user_id,amount,currency,txn_date,status"
USERS = 50


def lines(count: int) -> list[str]:
    """Rows in their order; the id of each is its number."""
    return [
        f"00000000-0000-4000-8000-{number:012},00000000-0000-4000-8000-{number % USERS:012},"
        f"{number % 1000}.50,EUR,2018-04-{1 + number * 28 // count:02}T{number * 24 // count:02}:00:00Z,paid"
        for number in range(count)
    ]


def write(path: Path, rows: list[str]) -> Path:
    path.write_bytes(gzip.compress("\n".join([HEADER, *rows, ""]).encode(), 1))
    return path


@contextmanager
def producing(topics: Settings, *arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    addresses = {
        "KAFKA_BOOTSTRAP_SERVERS": topics.kafka,
        "TXNWATCH_TRANSACTIONS_TOPIC": topics.transactions_topic,
    }
    with subprocess.Popen(
        [Path(sys.executable).with_name("txnwatch"), "produce", *arguments],
        env=os.environ | addresses,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, errors = await asyncio.to_thread(process.communicate, timeout=120)
    return process.returncode, out, errors


async def produce(topics: Settings, *arguments: str | Path) -> tuple[int, str, str]:
    with producing(topics, *arguments) as process:
        return await ended(process)


async def numbers(topics: Settings) -> dict[int, list[int]]:
    """The numbers of the rows that are on the topic, by their user, in their order."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    async with AIOKafkaConsumer(bootstrap_servers=topics.kafka, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topics.transactions_topic, one) for one in range(topics.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if (value := record.value or b"").startswith(b'{"id":"0'):
                        found[int((record.key or b"0")[-12:])].append(int(value[31:43]))
    return found


async def sent_so_far(topics: Settings) -> int:
    return sum(map(len, (await numbers(topics)).values()))


async def until_sent(topics: Settings, count: int) -> None:
    async with asyncio.timeout(120), AIOKafkaConsumer(bootstrap_servers=topics.kafka) as consumer:
        partitions = [TopicPartition(topics.transactions_topic, one) for one in range(topics.partitions)]
        while sum((await consumer.end_offsets(partitions)).values()) < count:  # noqa: ASYNC110 - others write
            await asyncio.sleep(0.005)


def expected(count: int) -> dict[int, list[int]]:
    return {user: list(range(user, count, USERS)) for user in range(USERS)}


@pytest.mark.slow
async def test_after_ctrl_c_or_a_limit_it_goes_on_and_a_file_that_has_changed_is_refused(
    topics: Settings, tmp_path: Path
) -> None:
    rows = lines(3000)
    path = write(tmp_path / "rows.csv.gz", rows)
    code, _, errors = await produce(topics, path, "--resume")
    assert (code, "nothing is known of a run" in errors) == (1, True)
    assert (await produce(topics, path, "--limit", "500"))[0] == 0
    with producing(topics, path, "--resume", "--rate", "20") as process:
        await until_sent(topics, 520)
        code, _, errors = await produce(topics, path, "--resume")
        assert (code, errors) == (1, f"Error: {path}: another process sends this file now\n")
        process.send_signal(signal.SIGINT)
        code, out, errors = await ended(process)
    assert (code, errors) == (130, "not all of it is sent: --resume goes on from here\n")
    assert "500 were sent before" in out

    write(path, ["", *rows])  # what counts is what is sent
    assert (await produce(topics, path, "--resume", "--limit", "1"))[0] == 0
    write(path, rows[1:])
    code, out, errors = await produce(topics, path, "--resume")
    assert (code, "what was sent is not what the file has" in errors) == (1, True)
    assert out.startswith("0 sent ")
    write(path, rows)
    assert (await produce(topics, path, "--resume"))[0] == 0
    assert await numbers(topics) == expected(3000)
    assert not PositionFile(path).path.exists()
    assert await numbers(topics) == expected(3000)


def noted(path: Path) -> int:
    """When it was last noted how far the file is sent; 0 for never."""
    try:
        return PositionFile(path).path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


async def until_noted(path: Path, before: int, process: "subprocess.Popen[str]") -> None:
    """Until it is, which is done first right before the first row is sent."""
    while noted(path) == before:
        assert process.poll() is None, await ended(process)
        await asyncio.sleep(0.01)


async def others_write(topics: Settings) -> None:
    """Another producer, all the while."""
    async with AIOKafkaProducer(bootstrap_servers=topics.kafka) as producer:
        while True:
            await producer.send_and_wait(
                topics.transactions_topic, b"{}", partition=Random().randrange(topics.partitions)
            )


@pytest.mark.slow
@pytest.mark.timeout(1200)  # of its processes each reads the file twice, on a machine that may be busy
@pytest.mark.parametrize("options", [[], ["--sort"]])
async def test_killed_at_any_time_each_row_is_sent_once_and_in_its_order(
    topics: Settings, tmp_path: Path, options: list[str]
) -> None:
    """What was sent and not yet noted was sent again."""
    count, random = 60_000, Random(7)
    path = write(tmp_path / "rows.csv.gz", lines(count))
    others = asyncio.create_task(others_write(topics))
    try:
        for run in range(5):
            before, there = noted(path), await sent_so_far(topics)
            how = [*options, "--rate", "12000", *["--resume"] * (run > 0)]
            with producing(topics, path, *how) as process:
                await until_noted(path, before, process)
                while run % 2 and await sent_so_far(topics) == there:
                    assert process.poll() is None, await ended(process)
                await asyncio.sleep(random.uniform(0, 0.5))  # a moment like any other
                process.kill()
        code, out, errors = await produce(topics, path, *options, "--resume")
    finally:
        others.cancel()
        with suppress(asyncio.CancelledError):
            await others
    assert code == 0, errors
    assert " were sent before" in out
    assert await numbers(topics) == expected(count)
