"""`txnwatch ingest` on a real broker: from another system's topic to transactions, each once."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from infra.runtime.partitioners import Name, partition_of
from tests.support.foreign_topics import (
    MAPPING,
    arrived,
    by_timestamps,
    by_user,
    foreign,
    foreign_topic,
    ingesting,
    taken_over,
)
from tests.support.installation import Installation, ended, until
from tests.support.services import free_port
from tests.support.traffic import Sent, traffic

CODECS = ("gzip", "snappy", "lz4", "zstd")


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(MAPPING)
    return path


async def send(installation: Installation, topic: str, sent: Sequence[Sent], codec: str = "lz4") -> None:
    """Each user's on the partition of the key, as most clients do."""
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka, compression_type=codec) as producer:
        for one in sent:
            await producer.send(topic, foreign(one), key=b"user-" + one.key)


async def test_each_record_becomes_one_transaction_and_what_does_not_map_a_letter_that_can_be_sent_again(
    installation: Installation, mapping: Path, tmp_path: Path
) -> None:
    sent = traffic(400, users=20)
    port = free_port()
    async with foreign_topic(installation) as topic:
        for number, codec in enumerate(CODECS):
            await send(installation, topic, sent[100 * number : 100 * number + 100], codec)
        async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
            bad = (
                foreign(sent[0])
                .replace(b'"ccy": "INR"', b'"ccy": null')
                .replace(sent[0].id.encode(), b"late")
            )
            await producer.send_and_wait(topic, bad, partition=1, headers=[("trace", b"t-1")])
            await producer.send_and_wait(topic, None, key=b"k", partition=2)
        with ingesting(installation, topic, mapping, TXNWATCH_INGEST_PORT=str(port)) as process:
            await until(lambda: taken_over(installation, 400))
            probes = f"http://127.0.0.1:{port}"
            async with aiohttp.ClientSession(probes) as session:
                counted = await until_counted(session, 402)
                assert await lags(session, "group_lag_offsets") == [0] * 3
                async with session.get("/health") as health, session.get("/ready") as ready:
                    assert (health.status, ready.status) == (200, 200)
                    assert await ready.json() == {"ready": True, "dependencies": {"kafka": {"state": "up"}}}
            assert await ended(process) == 0

        assert await arrived(installation) == by_user(sent)
        assert +counted == {"mapped": 400, "refused_currency": 1, "tombstone": 1}
        [letter] = await installation.read("TXNWATCH_DLQ_TOPIC")
        headers = {name: value.decode() for name, value in letter.headers}
        assert (letter.value, headers["source-topic"], headers["source-partition"]) == (bad, topic, "1")
        assert (headers["reason"], headers["mapping"], headers["source.trace"]) == (
            "currency",
            "shop.toml",
            "t-1",
        )

        code, said = await installation.completed("txnwatch", "dlq", "redrive", "--all")
        assert (code, said.count("say with --mapping how it is mapped now")) == (1, 1)
        mended = tmp_path / "mended.toml"
        mended.write_text(MAPPING.replace('"ccy"', '"ccy"\ndefault = "INR"'))
        again = "redrive", "--reason", "currency", "--mapping", str(mended)
        code, said = await installation.completed("txnwatch", "dlq", *again)
        assert (code, said) == (0, f"1 sent to {installation.transactions}, 0 not\n")
        assert sum(map(len, (await arrived(installation)).values())) == 401


async def test_whoever_sends_and_by_whatever_partitioner_the_order_is_that_of_the_timestamps(
    installation: Installation, mapping: Path
) -> None:
    """As tests/clients/test_foreign_producers.py has it of the clients themselves."""
    sent = traffic(600, users=15)
    async with foreign_topic(installation, 4) as topic:
        async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
            for stamp, (partition, key), one in as_clients_send(sent):
                place = {"partition": partition, "key": key, "timestamp_ms": stamp}
                await producer.send(topic, foreign(one), **place)
        with ingesting(installation, topic, mapping, "--order", "timestamps") as process:
            await until(lambda: taken_over(installation, 600))
            assert await ended(process) == 0

        assert by_user(await by_timestamps(installation, topic, sent)) == by_user(sent)
        assert await arrived(installation) == by_user(sent)


def as_clients_send(sent: Sequence[Sent]) -> list[tuple[int, tuple[int, bytes | None], Sent]]:
    """Each transaction's time, partition, and key, in turn by clients that send some of theirs at a time."""
    names: Sequence[Name] = "murmur2", "crc32", "fnv1a"  # Java and kafkajs, librdkafka, sarama
    began, stamped = round(time.time() * 1000) - 60_000, list[Any]()
    for number, one in enumerate(sent):
        its = number // 7
        ways = [
            *((partition_of(name, one.key, 4), one.key) for name in names),
            (its % 4, one.key),  # kafka-go by default
            (its // 20 % 4, None),  # Java without keys: as many as are sent together
            (its % 4, None),  # kafkajs without keys
            (its * 7919 % 4, None),  # librdkafka without keys
        ]
        way = number % 7
        sent_at = (number // (20 * (way + 1)) + 1) * 20 * (way + 1)
        stamped.append((sent_at, (began + number, ways[way], one)))
    return [one for _, one in sorted(stamped, key=itemgetter(0))]


@pytest.mark.slow
async def test_how_far_the_group_is_behind_has_what_waits_and_no_marks_of_transactions(
    installation: Installation, mapping: Path
) -> None:
    port = free_port()
    async with foreign_topic(installation, 1) as topic:
        options = {"bootstrap_servers": installation.kafka, "transactional_id": f"{topic}-sender"}
        async with (
            AIOKafkaProducer(**options) as producer,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):

            async def send(one: Sent, **place: Any) -> None:
                async with producer.transaction():
                    await producer.send(topic, foreign(one), partition=0, **place)

            async def are(group: int, held: int) -> bool:
                seen = [await lags(session, one) for one in ("group_lag_offsets", "held_records")]
                return seen == [[group], [held]]

            await send(traffic(1)[0], timestamp_ms=1_000)
            wait = "--order", "timestamps", "--wait", "3600"
            with ingesting(installation, topic, mapping, *wait, TXNWATCH_INGEST_PORT=str(port)) as process:
                await until(partial(are, 0, 0))
                for one in traffic(2, start=1):
                    await send(one)
                await until(partial(are, 5, 2))  # with three marks of its producer's
                assert await ended(process) == 0


async def lags(session: aiohttp.ClientSession, name: str) -> list[int]:
    """A gauge of each partition, in no order; nothing while nobody answers."""
    try:
        async with session.get("/metrics") as response:
            lines = (await response.text()).splitlines()
    except OSError:
        return []
    return [int(float(line.split()[-1])) for line in lines if line.startswith(f"txnwatch_ingest_{name}{{")]


async def until_counted(session: aiohttp.ClientSession, count: int) -> Counter[str]:
    """What became of the records, once it is so many."""
    counted = Counter[str]()

    async def is_counted() -> bool:
        nonlocal counted
        async with session.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        named = (line.split(" ") for line in lines if line.startswith("txnwatch_ingest_records_total{"))
        counted = Counter({name.split('"')[1]: int(float(number)) for name, number in named})
        return counted.total() >= count

    await until(is_counted)
    return counted


@pytest.mark.slow
async def test_several_share_the_partitions_and_go_on_where_one_is_killed(
    installation: Installation, mapping: Path
) -> None:
    sent = traffic(6000, users=100)
    async with foreign_topic(installation, 4) as topic:
        with ExitStack() as stack:
            start = partial(ingesting, installation, topic, mapping)
            one, other = (stack.enter_context(start()) for _ in range(2))
            for number in range(0, 6000, 200):
                await send(installation, topic, sent[number : number + 200])
                if number == 2000:
                    await until(lambda: taken_over(installation, 1000))
                    one.send_signal(signal.SIGKILL)
                if number == 4000:
                    stack.enter_context(start())
            await until(lambda: taken_over(installation, 6000))
            assert await ended(other) == 0

        assert await arrived(installation) == by_user(sent)


@pytest.mark.slow
async def test_one_that_slept_through_its_session_writes_nothing_more(
    installation: Installation, mapping: Path
) -> None:
    """It wakes in the middle of a transaction or between two, with partitions that are another's by then."""
    sent = traffic(6000, users=100)
    async with foreign_topic(installation, 4) as topic:
        with ingesting(installation, topic, mapping) as one:
            pouring = asyncio.create_task(send(installation, topic, sent[:4000]))
            await until(lambda: taken_over(installation, 500))
            one.send_signal(signal.SIGSTOP)
            await pouring
            with ingesting(installation, topic, mapping) as other:
                await send(installation, topic, sent[4000:])  # which the other reads, and so has begun
                await until(lambda: taken_over(installation, 6000))
                one.send_signal(signal.SIGCONT)
                await send(installation, topic, again := traffic(500, users=20, seed=2))
                await until(lambda: taken_over(installation, 6500))
                assert [await ended(process) for process in (one, other)] == [0, 0]

        assert await arrived(installation) == by_user([*sent, *again])


@pytest.mark.slow
async def test_without_a_wish_for_the_beginning_it_reads_what_arrives_from_its_start_on(
    installation: Installation, mapping: Path
) -> None:
    """Also what arrives between its start and its first transaction, and on partitions that are new."""
    early, later, new = traffic(10, seed=1), traffic(10, seed=2), traffic(10, seed=3)
    async with foreign_topic(installation, 1) as topic:
        await send(installation, topic, early)
        arguments = "ingest", "--mapping", str(mapping), "--topic", topic
        with installation.command("txnwatch", *arguments, TXNWATCH_INGEST_PORT="0") as process:
            await until(lambda: has_offsets(installation, topic))
            process.kill()
        await send(installation, topic, later)
        with ingesting(installation, topic, mapping) as process:
            await until(lambda: taken_over(installation, 10))
            async with installation.administration() as admin:
                await admin.create_partitions({topic: NewPartitions(2)})
            async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
                await until(lambda: has_partitions(producer, topic, 2))
                for one in new:
                    await producer.send_and_wait(topic, foreign(one), partition=1)
        with ingesting(installation, topic, mapping) as process:
            await until(lambda: taken_over(installation, 20))
            assert await ended(process) == 0

        found = Counter(user for user, ids in (await arrived(installation)).items() for _ in ids)
        assert found == Counter(one.key for one in [*later, *new])


async def has_offsets(installation: Installation, topic: str) -> bool:
    async with installation.administration() as admin:
        group = f"{installation.environment['TXNWATCH_APP_ID']}-ingest"
        return any(one.topic == topic for one in await admin.list_consumer_group_offsets(group))


async def has_partitions(producer: AIOKafkaProducer, topic: str, count: int) -> bool:
    await producer.client.force_metadata_update()
    return len(await producer.partitions_for(topic)) == count


@pytest.mark.slow
async def test_records_spread_by_round_robin_are_merged_by_their_timestamps(
    installation: Installation, mapping: Path
) -> None:
    """The keys are null, and a second process stands by until the first is killed."""
    sent = traffic(4000, users=40)
    async with foreign_topic(installation, 4) as topic:
        options = "--order", "timestamps", "--wait", "0.5"
        with (
            ingesting(installation, topic, mapping, *options) as one,
            ingesting(installation, topic, mapping, *options) as other,
        ):
            async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
                for number, its in enumerate(sent):
                    stamp = 1_700_000_000_000 + number
                    await producer.send(topic, foreign(its), partition=number * 7 % 4, timestamp_ms=stamp)
                    if number == 2000:
                        await producer.flush()
                        await until(lambda: taken_over(installation, 1000))
                        one.send_signal(signal.SIGKILL)
            await until(lambda: taken_over(installation, 4000))
            assert await ended(other) == 0

        assert await arrived(installation) == by_user(sent)
