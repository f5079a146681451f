"""The transactional output on a real broker: all of a batch or nothing, and nothing from a former owner."""

import asyncio
import gc
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from os import urandom
from typing import NoReturn

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    InvalidProducerIdMapping,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
)
from msgspec.structs import replace

from infra.runtime.patience import KafkaSilentError
from infra.runtime.shared_client import ClientPool
from schemas.scored import moved_from
from schemas.transaction import Decoder
from stream_app.batch import LostPartitionError, Output, Refusal
from stream_app.settings import Settings
from stream_app.sinks.kafka import TransactionalOutput
from tests.support.detectors import mean_flag, verdict_on
from tests.support.fakes import FakeRecord
from tests.support.installation import Installation, until
from tests.support.outputs import transactional_output
from tests.support.traffic import traffic

PARTITION = 2
FLAG = mean_flag("1.00", 10, 6.0, "5.00")


@pytest.fixture(autouse=True)
async def every_failure_is_looked_at() -> AsyncIterator[None]:
    """What fails unseen, asyncio reports to the operator, long after and without saying of what."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(f"{context['message']}: {context.get('future')!r}")
    )
    yield
    gc.collect()
    assert reported == []


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.model_validate(environment)


def output(count: int, *, flagged: int = 0, refusals: Sequence[Refusal] = ()) -> Output:
    verdicts = []
    for offset, sent in enumerate(traffic(count)):
        transaction = Decoder().decode(sent.value, sent.key, -1)
        flag = FLAG if offset < flagged else None
        verdicts.append(verdict_on(offset, transaction, flag))
    changes = [(verdict.transaction.user_id.encode(), b"window %d" % verdict.offset) for verdict in verdicts]
    return Output(PARTITION, count, verdicts, refusals, changes)


async def committed(settings: Settings, offset: int) -> None:
    """Wait until the group's offset is this one: markers are written after a commit is answered."""
    source = TopicPartition(settings.transactions_topic, PARTITION)
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=settings.app_id, enable_auto_commit=False
    ) as consumer:

        async def is_so() -> bool:
            return bool(await consumer.committed(source) == offset)

        await until(is_so, within=10)


async def test_everything_is_on_the_partition_of_the_same_number(
    settings: Settings, installation: Installation
) -> None:
    refused = Refusal(FakeRecord(9, b"key", b"\xff"), "json", "not UTF-8")

    async with transactional_output(PARTITION, settings, "0a1b2c3d") as publisher:
        last = await publisher.commit(output(5, flagged=2, refusals=[refused]))

    scored = await installation.read("TXNWATCH_SCORED_TOPIC")
    anomalies = await installation.read("TXNWATCH_ANOMALIES_TOPIC")
    (letter,) = await installation.read("TXNWATCH_DLQ_TOPIC")
    assert (len(scored), len(anomalies)) == (5, 2)
    assert {record.partition for record in [*scored, *anomalies, letter]} == {PARTITION}
    assert [dict(record.headers)["source-offset"] for record in scored] == [b"%d" % at for at in range(5)]
    assert {dict(record.headers)["rule"] for record in [*scored, *anomalies]} == {b"0a1b2c3d"}
    assert (letter.key, letter.value) == (b"key", b"\xff")
    assert dict(letter.headers) == {
        "reason": b"json",
        "source-timestamp": b"1800000000000",
        "detail": b"not UTF-8",
        "source-topic": settings.transactions_topic.encode(),
        "source-partition": b"%d" % PARTITION,
        "source-offset": b"9",
    }
    assert last == 4
    await committed(settings, 5)


async def test_a_revision_of_another_date_says_where_its_row_was(
    settings: Settings, installation: Installation
) -> None:
    one = output(1, flagged=1).verdicts[0]
    former = one.transaction.txn_date - timedelta(days=40, microseconds=1)
    revision = verdict_on(1, one.transaction, one.flag, revision=2, moved_from=former)

    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(Output(PARTITION, 2, [one, revision], [], []))

    scored = await installation.read("TXNWATCH_SCORED_TOPIC")
    flags = await installation.read("TXNWATCH_ANOMALIES_TOPIC")
    assert [moved_from(record.headers) for record in scored] == [None, former]
    assert [json.loads(flag.value or b"")["meta_data"].get("revision") for flag in flags] == [None, 2]


async def test_a_revision_names_the_rule_of_the_flag_that_it_repeats(
    settings: Settings, installation: Installation
) -> None:
    one = output(1).verdicts[0].transaction
    flags = [replace(FLAG, rule="11111111"), None]
    revisions = [verdict_on(at, one, flag, revision=2) for at, flag in enumerate(flags)]

    async with transactional_output(PARTITION, settings, "0a1b2c3d") as publisher:
        await publisher.commit(Output(PARTITION, 2, revisions, [], []))

    flagged, unflagged = await installation.read("TXNWATCH_SCORED_TOPIC")
    assert dict(flagged.headers)["rule"].decode() == json.loads(flagged.value or b"")["meta_data"]["rule"]
    assert dict(unflagged.headers)["rule"] == b"0a1b2c3d"


async def test_a_large_batch_goes_in_several_and_the_last_offset_is_the_changelogs(
    settings: Settings, installation: Installation
) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        last = await publisher.commit(output(12_000))

    assert len(await installation.read("TXNWATCH_SCORED_TOPIC")) == 12_000
    assert last == 11_999


async def test_a_batch_without_changes_has_no_changelog_offset(settings: Settings) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        assert await publisher.commit(Output(PARTITION, 7, [], [], [])) is None

    await committed(settings, 7)


async def test_a_fenced_owner_commits_nothing(settings: Settings, installation: Installation) -> None:
    async with transactional_output(PARTITION, settings) as former:
        await former.commit(output(1))
        async with transactional_output(PARTITION, settings) as owner:
            with pytest.raises(LostPartitionError):
                await former.commit(output(5))
            await owner.commit(output(2))

    assert len(await installation.read("TXNWATCH_SCORED_TOPIC")) == 3
    await committed(settings, 2)


async def test_a_failure_in_the_middle_leaves_nothing_to_be_read(
    settings: Settings, installation: Installation
) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        with pytest.raises(TypeError):
            await publisher.commit(Output(PARTITION, 5, output(5).verdicts, [], [("text", b"")]))  # type: ignore[list-item]
        await publisher.commit(output(1))

    assert len(await installation.read("TXNWATCH_SCORED_TOPIC")) == 1
    await committed(settings, 1)


@pytest.mark.parametrize(
    ("key_bytes", "value_bytes", "kept"),
    [(3, 1_048_500, 999_000), (900_000, 148_000, 148_000), (None, 5_000_000, 999_000)],
)
async def test_a_refused_message_too_large_for_a_letter_is_cut_and_says_so(
    settings: Settings, installation: Installation, key_bytes: int | None, value_bytes: int, kept: int
) -> None:
    key, value = None if key_bytes is None else urandom(key_bytes), urandom(value_bytes)
    refusal = Refusal(FakeRecord(9, key, value), "size", "too large")

    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(Output(PARTITION, 10, [], [refusal], []))

    (letter,) = await installation.read("TXNWATCH_DLQ_TOPIC")
    # Compared outside of the assertions: their reports would be megabytes.
    same_key, same_value = letter.key == (key and key[:1000]), letter.value == value[:kept]
    assert same_key
    assert same_value
    assert dict(letter.headers)["cut-from"] == b"%d" % value_bytes


async def test_a_batch_that_does_not_arrive_fails_the_whole_transaction(
    settings: Settings, installation: Installation
) -> None:
    too_large = [(b"user", urandom(1_100_000))]

    async with transactional_output(PARTITION, settings) as publisher:
        with pytest.raises(MessageSizeTooLargeError):
            await publisher.commit(Output(PARTITION, 5, output(5).verdicts, [], too_large))
    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(output(1))

    assert len(await installation.read("TXNWATCH_SCORED_TOPIC")) == 1
    await committed(settings, 1)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "kind", [InvalidProducerIdMapping, KafkaConnectionError, CoordinatorNotAvailableError]
)
async def test_what_aiokafka_wraps_is_seen_for_what_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: type[KafkaError], times: int
) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        wrapped: KafkaError = kind()
        for _ in range(times):
            inner, wrapped = wrapped, KafkaError("Unexpected error during batch delivery")
            wrapped.__cause__ = inner
        monkeypatch.setattr(publisher, "_fill", AsyncRaiser(wrapped))

        with pytest.raises(LostPartitionError, match="Unexpected error"):
            await publisher.commit(output(1))


class AsyncRaiser:
    """A coroutine function that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, *_args: object) -> None:
        raise self._error


async def commit_until_one_fails(publisher: TransactionalOutput) -> NoReturn:
    """As a topic goes a moment after its deletion was answered."""
    for start in itertools.count(10, 5):
        await publisher.commit(output(start, flagged=2))
    raise AssertionError


async def test_an_output_topic_that_is_deleted_is_named_and_waited_for_in_bounded_time(
    settings: Settings, installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    impatient = settings.model_copy(update={"retry_seconds": 2})
    named = f"Kafka has not taken a batch's output for 2 s, as there is no topic {settings.anomalies_topic}"
    async with transactional_output(PARTITION, impatient) as publisher:
        await publisher.commit(output(5, flagged=2))
        async with installation.administration() as admin:
            await admin.delete_topics([settings.anomalies_topic])
        async with asyncio.timeout(20):
            with pytest.raises(KafkaSilentError, match=named):
                await commit_until_one_fails(publisher)

    assert named.replace("2 s", "1 s") in caplog.text


async def test_a_changelog_that_is_deleted_is_waited_for_in_bounded_time_before_the_first_batch(
    settings: Settings, installation: Installation
) -> None:
    impatient = settings.model_copy(update={"retry_seconds": 2})
    topic = settings.changelog_topic
    named = f"Kafka has not taken a note in the changelog for 2 s, as there is no topic {topic}"
    async with transactional_output(PARTITION, impatient) as publisher:
        assert await publisher.put(b"\0rule", b"1") == 0
        async with installation.administration() as admin:
            await admin.delete_topics([topic])
        async with asyncio.timeout(20):
            with pytest.raises(KafkaSilentError, match=named):
                await publisher.put(b"\0rule", b"2")


async def test_producers_of_many_partitions_share_their_connections(settings: Settings) -> None:
    own = psutil.Process()
    clients = ClientPool(settings, "output")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(clients.close)
        before = own.num_fds()
        outputs = [
            await stack.enter_async_context(TransactionalOutput(partition, settings, clients))
            for partition in [0, 1, 2, 3] * 6
        ]
        for one in outputs[-4:]:
            assert await one.commit(Output(PARTITION, 7, [], [], [])) is None
        assert own.num_fds() - before <= 2 * len(clients)
        with pytest.raises(LostPartitionError):
            await outputs[0].commit(output(1))
