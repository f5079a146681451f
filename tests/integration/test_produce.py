"""`txnwatch produce` as a process, on a real broker."""

import asyncio
import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias
from uuid import UUID

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from infra.embedded import cluster
from infra.runtime.settings import Settings
from infra.topics import ensure_topics
from schemas.transaction import Decoder
from tests.support.services import embedded_datadir, free_port, unique_settings

HEADER = ["id", "user_id", "amount", "currency", "txn_date", "status"]
Rows = list[list[str]]
Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


def rows(count: int, users: int = 20, seed: int = 1) -> Rows:
    random = Random(seed)
    people = [str(UUID(int=random.getrandbits(128))) for _ in range(users)]
    start = datetime(2018, 4, 1, tzinfo=UTC)
    return [
        [
            str(UUID(int=random.getrandbits(128))),
            random.choice(people),
            f"{random.uniform(0, 500):.2f}",
            "EUR",
            (start + timedelta(seconds=number)).isoformat(),
            "paid",
        ]
        for number in range(count)
    ]


def write_csv(path: Path, given: Rows) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *given])
    return path


def json_lines(given: Rows) -> bytes:
    return b"".join(json.dumps(dict(zip(HEADER, row, strict=True))).encode() + b"\n" for row in given)


def environment(topics: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "TXNWATCH_MAX_AHEAD_HOURS": "48",
        "KAFKA_BOOTSTRAP_SERVERS": topics.kafka,
        "TXNWATCH_TRANSACTIONS_TOPIC": topics.transactions_topic,
    }


def command(*arguments: str | Path) -> list[str]:
    return [str(Path(sys.executable).with_name("txnwatch")), "produce", *map(str, arguments)]


async def produce(
    topics: Settings, *arguments: str | Path, given: bytes = b""
) -> "subprocess.CompletedProcess[str]":
    def call() -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command(*arguments), input=given, env=environment(topics), capture_output=True, check=False
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return await asyncio.to_thread(call)


@contextmanager
def producing(topics: Settings, *arguments: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The command while the block runs."""
    with subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(topics),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def on_topic(topics: Settings) -> list[Record]:
    """Everything on the input topic, partition by partition."""
    async with AIOKafkaConsumer(bootstrap_servers=topics.kafka, auto_offset_reset="earliest") as consumer:
        partitions = [
            TopicPartition(topics.transactions_topic, number) for number in range(topics.partitions)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Record] = []
        while len(found) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def until_on_topic(topics: Settings, count: int) -> list[Record]:
    async with asyncio.timeout(60):
        while len(found := await on_topic(topics)) < count:
            pass
    return found


def by_user(ids: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Each user's transactions in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for txn_id, user_id in ids:
        found[user_id].append(txn_id)
    return found


def by_key(records: Iterable[Record]) -> dict[str, list[str]]:
    return by_user(
        (json.loads(record.value or b"")["id"], (record.key or b"").decode()) for record in records
    )


async def test_a_csv_file_arrives_whole_and_in_the_order_of_each_user(
    topics: Settings, tmp_path: Path
) -> None:
    given = rows(5000)
    done = await produce(topics, write_csv(tmp_path / "t.csv", given))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"5,000 sent to {topics.transactions_topic} in ")

    records = await on_topic(topics)
    assert by_key(records) == by_user((row[0], row[1]) for row in given)
    assert len({record.partition for record in records}) == topics.partitions
    for record in records:
        assert Decoder().decode(record.value or b"", record.key, record.timestamp).user_id
    messages = {(message := json.loads(record.value or b""))["id"]: message for record in records}
    assert [list(messages[row[0]].values()) for row in given] == given


@pytest.mark.parametrize("zipped", [False, True])
async def test_json_lines_arrive_from_standard_input(topics: Settings, *, zipped: bool) -> None:
    given = rows(300)
    sent = json_lines(given)
    done = await produce(topics, "-", given=gzip.compress(sent) if zipped else sent)
    assert (done.returncode, done.stderr) == (0, "")
    assert by_key(await on_topic(topics)) == by_user((row[0], row[1]) for row in given)


@pytest.mark.parametrize("options", [(), ("--raw",)])
async def test_lines_arrive_while_more_are_to_come_and_ctrl_c_ends_the_wait(
    topics: Settings, options: tuple[str, ...]
) -> None:
    given = rows(3)
    with producing(topics, "-", *options) as process:
        assert process.stdin is not None
        process.stdin.write(json_lines(given))
        process.stdin.flush()
        await until_on_topic(topics, 3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        # Not communicate(): that would close the standard input, which has to stay open.
        assert await asyncio.to_thread(process.wait, 20) == 130
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"3 sent to ")
        assert process.stderr is not None
        assert process.stderr.read() == b""


async def test_rejected_rows_are_not_sent_but_listed_and_fail_only_where_that_was_asked_for(
    topics: Settings, tmp_path: Path
) -> None:
    given = rows(100)
    given[10][2] = "-1"
    given[20][2] = "12.3456"
    given[30][4] = "2018-04-01"
    given[-1][4] = (datetime.now(UTC) + timedelta(hours=40)).isoformat()  # 24 unless set
    path = write_csv(tmp_path / "t.csv", given)
    done = await produce(topics, path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("97 sent")
    assert lines[1] == "3 rejected and not sent:"
    assert "lines 12, 22; the first: '-1': negative" in lines[2]
    assert "line 32; the first: '2018-04-01'" in lines[3]
    assert len(await on_topic(topics)) == 97

    assert (await produce(topics, path, "--strict")).returncode == 1


async def test_a_file_of_nothing_but_rejected_rows_fails(topics: Settings, tmp_path: Path) -> None:
    given = [["1", *row[1:]] for row in rows(5)]
    done = await produce(topics, write_csv(tmp_path / "t.csv", given))
    assert done.returncode == 1
    assert done.stdout.startswith("0 sent")
    assert await on_topic(topics) == []


async def test_raw_lines_arrive_as_they_are_on_the_partitions_that_every_kafka_client_chooses(
    topics: Settings, tmp_path: Path
) -> None:
    # The hashes are those that Apache Kafka's own tests hold its Java client to.
    hashes = {
        "21": -973932308,
        "foobar": -790332482,
        "a-little-bit-long-string": -985981536,
        "a-little-bit-longer-string": -1486304829,
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        "abc": 479470107,
    }
    keyed = [json.dumps({"user_id": name}).encode() for name in hashes]
    odd = [b"not json", b"", b"\xff\x00", b"x" * 70_000]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join([*keyed, *odd]) + b"\n")
    done = await produce(topics, path, "--raw")
    assert (done.returncode, done.stdout.split(" in ")[0]) == (0, f"10 sent to {topics.transactions_topic}")

    records = await on_topic(topics)
    assert sorted(record.value or b"" for record in records) == sorted([*keyed, *odd])
    partitions = {record.key.decode(): record.partition for record in records if record.key is not None}
    assert partitions == {name: (value & 0x7FFFFFFF) % topics.partitions for name, value in hashes.items()}


async def test_made_up_traffic_is_the_same_for_the_same_seed(topics: Settings) -> None:
    for _ in range(2):
        done = await produce(topics, "--generate", "500", "--users", "30", "--seed", "7")
        assert done.returncode == 0
    records = await on_topic(topics)
    assert len(records) == 1000
    for ids in by_key(records).values():
        assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]


async def test_rows_that_are_newest_first_are_sent_by_date_or_as_they_are_once_that_is_said(
    topics: Settings, tmp_path: Path
) -> None:
    """They were scored backwards without a word."""
    given = rows(300, users=5)
    path = write_csv(tmp_path / "t.csv", given[::-1])
    zipped = gzip.compress(path.read_bytes())
    refused = await produce(topics, "-", given=zipped)
    assert (refused.returncode, refused.stdout[:7]) == (1, "0 sent ")
    assert refused.stderr.startswith("Error: -: the newest row comes first: ")
    assert "--sort" in refused.stderr
    assert "--as-is" in refused.stderr

    assert (await produce(topics, "-", "--sort", given=zipped)).returncode == 0
    assert by_key(await on_topic(topics)) == by_user((row[0], row[1]) for row in given)
    assert (await produce(topics, path, "--as-is")).returncode == 0
    twice = by_user((row[0], row[1]) for row in (*given, *given[::-1]))
    assert by_key(await on_topic(topics)) == twice


async def test_an_export_is_sent_again_by_date_and_without_verdicts(topics: Settings, tmp_path: Path) -> None:
    given = rows(300, users=5)
    path = tmp_path / "export.csv"
    with path.open("w", newline="") as file:
        verdicts = ('{"is_anomaly": false, "shop": 7}', '{"is_anomaly": true, "mean": "1.00", "shop": 7}')
        exported = [[*row, verdicts[number % 2]] for number, row in enumerate(given[::-1])]
        csv.writer(file).writerows([[*HEADER, "meta_data"], *exported])
    done = await produce(topics, path)

    assert done.returncode == 0
    assert done.stderr == "an export of txnwatch: sent by date, without the verdicts\n"
    records = await on_topic(topics)
    assert by_key(records) == by_user((row[0], row[1]) for row in given)
    assert {json.dumps(json.loads(record.value or b"")["meta_data"]) for record in records} == {'{"shop": 7}'}


async def test_amounts_that_can_be_read_in_two_ways_are_refused_before_anything_is_sent(
    topics: Settings, tmp_path: Path
) -> None:
    """150.000 was sent as 150.00; larger ones were left out."""
    given = rows(12_000)
    given[-1][2] = "150.000"
    path = write_csv(tmp_path / "t.csv", given)
    done = await produce(topics, path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {path}: line 12001: the amount 150.000 can be read in two ways: ")
    assert await on_topic(topics) == []


async def test_of_a_number_and_a_limit_the_smaller_counts(topics: Settings) -> None:
    assert (await produce(topics, "--generate", "5", "--limit", "9")).stdout.startswith("5 sent")
    assert (await produce(topics, "--generate", "9", "--limit", "5")).stdout.startswith("5 sent")


async def test_made_up_traffic_at_a_rate_is_of_now(topics: Settings) -> None:
    started = time.monotonic()
    done = await produce(topics, "--generate", "--rate", "200", "--limit", "101")
    assert done.returncode == 0
    assert time.monotonic() - started > 0.5
    records = await on_topic(topics)
    assert len(records) == 101
    for record in records:
        date = Decoder().decode(record.value or b"", record.key, record.timestamp).txn_date
        assert abs(record.timestamp - date.timestamp() * 1000) < 1000


async def test_ctrl_c_ends_endless_traffic_in_order(topics: Settings) -> None:
    with producing(topics, "--generate", "--rate", "1000") as process:
        await until_on_topic(topics, 300)
        process.send_signal(signal.SIGINT)
        output, errors = await asyncio.to_thread(process.communicate, timeout=20)
    assert (process.returncode, errors) == (0, b"")
    assert output.decode().startswith(f"{len(await on_topic(topics)):,} sent to ")


async def test_where_no_broker_answers_the_error_is_one_line(topics: Settings) -> None:
    address = f"127.0.0.1:{free_port()}"
    absent = topics.model_copy(update={"kafka": address})
    done = await produce(absent, "--generate", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: Kafka (KAFKA_BOOTSTRAP_SERVERS): {address} refuses connections: nothing listens there\n"
    )


async def test_a_topic_that_is_not_there_is_an_error_and_is_not_created(topics: Settings) -> None:
    absent = unique_settings(topics.kafka)
    done = await produce(absent, "--generate", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        f"there is no topic {absent.transactions_topic}: `txnwatch topics` creates it\n"
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.kafka)
    await admin.start()
    try:
        assert absent.transactions_topic not in await admin.list_topics()
    finally:
        await admin.close()


async def test_damaged_input_is_an_error_after_what_could_be_read_has_arrived(
    topics: Settings, tmp_path: Path
) -> None:
    given = rows(20_000)
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(json_lines(given))[:-1000])
    done = await produce(topics, path)
    assert done.returncode == 1
    hint, error = done.stderr.splitlines()
    assert "--resume" in hint
    assert error.startswith(f"Error: {path}: cannot be read after line ")
    records = await on_topic(topics)
    assert done.stdout.startswith(f"{len(records):,} sent to ")
    assert 0 < len(records) < 20_000


def crash_kafka(datadir: Path) -> None:
    """Kill the broker; on return its port is free again."""
    process = psutil.Process(cluster.status(datadir)["kafka"].pid)
    process.kill()
    process.wait(20)


@pytest.mark.slow
async def test_a_broker_that_crashes_and_returns_has_each_row_once_and_in_order(tmp_path: Path) -> None:
    given = rows(60_000, users=500)
    with embedded_datadir() as datadir:
        addresses = await asyncio.to_thread(cluster.up, datadir)
        topics = unique_settings(addresses.kafka)
        await ensure_topics(topics)
        with producing(topics, write_csv(tmp_path / "t.csv", given), "--rate", "10000") as process:
            await until_on_topic(topics, 10_000)
            await asyncio.to_thread(crash_kafka, datadir)
            assert (await asyncio.to_thread(cluster.up, datadir)).kafka == addresses.kafka
            output, errors = await asyncio.to_thread(process.communicate, timeout=120)
        assert (process.returncode, errors) == (0, b"")
        assert output.startswith(b"60,000 sent to ")
        assert by_key(await on_topic(topics)) == by_user((row[0], row[1]) for row in given)


@pytest.mark.slow
async def test_a_broker_that_stays_away_is_an_error_that_says_how_many_arrived(tmp_path: Path) -> None:
    given = rows(60_000, users=500)
    with embedded_datadir() as datadir:
        addresses = await asyncio.to_thread(cluster.up, datadir)
        topics = unique_settings(addresses.kafka)
        await ensure_topics(topics)
        with producing(topics, write_csv(tmp_path / "t.csv", given), "--rate", "10000") as process:
            await until_on_topic(topics, 10_000)
            await asyncio.to_thread(crash_kafka, datadir)
            output, errors = await asyncio.to_thread(process.communicate, timeout=120)
        assert process.returncode == 1
        hint, error = errors.decode().splitlines()
        assert "--resume" in hint
        assert error == "Error: Kafka (KAFKA_BOOTSTRAP_SERVERS): nothing was acknowledged for 30 s"
        assert 10_000 <= int(output.split(b" ")[0].replace(b",", b"")) < 60_000
