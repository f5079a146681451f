"""`txnwatch state`: the two ways on when a topic is not the one that windows and offsets belong to."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import click
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from msgspec.structs import replace

import infra.runtime.settings
from infra.noting import audited
from infra.runtime.aiokafka_changes import send_request
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.kafka import (
    TopicsError,
    admin_client,
    check_nobody_runs,
    check_present,
    check_topics,
    describe_cluster,
    read_committed,
)
from infra.runtime.services import KAFKA, POSTGRES
from infra.runtime.shared_client import ClientPool
from infra.topics import ensure_topics
from stream_app.commands.carry_over import Bounds, NotPossibleError
from stream_app.settings import Settings
from stream_app.sinks.kafka import TransactionalOutput, committed_positions
from stream_app.sinks.postgres import NEXT_OFFSETS, connect
from stream_app.state.changelog import readable
from stream_app.state.store import NO_USER
from stream_app.state.topics import TOPICS_KEY, KnownTopics
from stream_app.window import decode_window

_ACCEPT = "UPDATE sink_offsets SET topics = $3 WHERE app_id = $1 AND topic = $2"
_FORGET = """
WITH applied AS (DELETE FROM decisions_applied WHERE app_id = $1 AND topic = $2),
    held AS (DELETE FROM settings_held WHERE app_id = $1 AND topic = $2),
    made AS (DELETE FROM repartitions WHERE app_id = $1 AND topic = $2)
UPDATE sink_offsets
SET topics = '', next_offset = 0, epoch = epoch + 1, source = DEFAULT, kept_from = 0
WHERE app_id = $1 AND topic = $2
"""
_POLL_SECONDS = 0.05
_DELETED_SECONDS = 30.0
_NO_SUCH_GROUP = 69  # GROUP_ID_NOT_FOUND


@click.group()
def state() -> None:
    """Say what windows and offsets belong to, when topics have been replaced."""


@state.command("accept")
def accept_command() -> None:
    """Go on with topics that hold the same records as before, with the same offsets."""
    settings = Settings.load()
    with ending_in_one_line(StopError, KAFKA, POSTGRES):
        _audited(settings, "state accept", accept)
    click.echo(
        "accepted. Where the changelog is another topic, too, delete each worker's folder of windows "
        "(in TXNWATCH_DATADIR): they are restored from it."
    )


@state.command("start-over")
@click.confirmation_option(prompt="Forget all windows and offsets, and score from the topic's beginning?")
def start_over_command() -> None:
    """Forget all windows and offsets, to score a new topic from its beginning; rows stay."""
    settings = Settings.load()
    with ending_in_one_line(StopError, KAFKA, POSTGRES):
        _audited(settings, "state start-over", start_over)
    click.echo("forgotten. Delete each worker's folder of windows (in TXNWATCH_DATADIR) before it starts.")


def _audited(settings: Settings, what: str, change: Callable[[Settings], Awaitable[None]]) -> None:
    asyncio.run(audited(settings, what, partial(change, settings), kept=settings.has_sink("postgres")))


async def accept(settings: Settings) -> None:
    """Have changelog and Postgres say that what they hold belongs to the topics as they are now.

    Raises:
        RunningError: A worker runs.
        TopicsError: The topics do not fit together.
        NotPossibleError: The offsets of windows, rows or the group are not the source's.
        WrongWindowsError: The windows are of a later version.
        KafkaError: Kafka cannot be reached.
    """
    now = KnownTopics.of(await check_topics(settings, settings.topics), settings)
    async with admin_client(settings, "state") as admin:
        await check_nobody_runs(admin, settings.app_id)
    # With another number of partitions windows would be where no message comes: that is not accepted here.
    changelog = await _changelog(settings)
    numbers = [one.partitions for one in changelog.topics.values()]
    accepted = replace(now, partitions=min(numbers, default=now.partitions))
    await _check_offsets(settings, changelog.reach, now.partitions)
    await note_topics(settings, range(now.partitions), accepted)
    await _in_postgres(settings, _ACCEPT, accepted.encode().decode())


class Reach(NamedTuple):
    """How far a partition was scored, by windows, rows and the group's offset, and where the topic ends."""

    windows: int
    rows: int
    group: int | None
    end: int

    @property
    def fits(self) -> bool:
        """Whether it can be of this topic: of one with other offsets, records would be left out in silence.

        >>> Reach(windows=70, rows=70, group=70, end=90).fits, Reach(0, 0, None, 90).fits
        (True, True)
        >>> Reach(windows=70, rows=70, group=7, end=90).fits, Reach(70, 70, None, 90).fits
        (False, False)
        """
        if self.group is None:  # Kafka deletes it with the topic
            return not (self.windows or self.rows)
        return self.windows <= self.group and max(self.group, self.rows) <= self.end


async def _check_offsets(settings: Settings, windows: Mapping[int, int], partitions: int) -> None:
    positions, ends = await committed_positions(settings), (await Bounds.of(settings, partitions)).ends
    rows = await rows_up_to(settings)
    for number, end in ends.items():
        group = positions[number].next_offset if number in positions else None
        reach = Reach(windows.get(number, 0), rows.get(number, 0), group, end)
        if not reach.fits:
            raise NotPossibleError(
                f"{settings.transactions_topic} partition {number}: windows reach to offset {reach.windows}, "
                f"rows to {reach.rows}, the group to {group}, and the topic to {end}: those are of another "
                "topic. One with other offsets, as MirrorMaker's, can only be scored from its beginning: "
                "`txnwatch state start-over`"
            )


async def start_over(settings: Settings) -> None:
    """Forget windows and offsets. Ended in the middle, it is run again.

    Raises:
        RunningError: A worker runs.
        TopicsError: There is no source.
        KafkaError: Kafka cannot be reached.
    """
    source, changelog = settings.transactions_topic, settings.changelog_topic
    async with admin_client(settings, "state") as admin:
        await check_nobody_runs(admin, settings.app_id)
        check_present(cluster := await describe_cluster(admin), [source])
        await _delete_topic(admin, changelog)
        await _delete_group(admin, settings.app_id)
    await _in_postgres(settings, _FORGET)
    await ensure_topics(infra.runtime.settings.Settings.load(partitions=len(cluster.topics[source])))


async def _delete_topic(admin: AIOKafkaAdminClient, topic: str) -> None:
    """Delete the topic, where there is one, and wait until it is gone."""
    for _topic, code in (await admin.delete_topics([topic])).topic_error_codes:
        if code not in {0, UnknownTopicOrPartitionError.errno}:
            raise for_code(code)(f"the topic {topic}")
    try:
        async with asyncio.timeout(_DELETED_SECONDS):
            while topic in (await describe_cluster(admin)).topics:  # noqa: ASYNC110 - a broker sends no news of it
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise TopicsError(
            f"{topic} is still there {_DELETED_SECONDS:g} s after Kafka agreed to delete it: see "
            "whether all brokers run, and run this again"
        ) from None


async def _delete_group(admin: AIOKafkaAdminClient, group: str) -> None:
    """Delete the group with its offsets, where there is one."""
    answer = await send_request(admin, DeleteGroupsRequest([group]), await admin.find_coordinator(group))
    for _group, code in answer.results:
        if code not in {0, _NO_SUCH_GROUP}:
            raise for_code(code)(f"the group {group}")


async def taken_over(
    settings: Settings, partitions: Iterable[int]
) -> AsyncGenerator[TransactionalOutput, None]:
    """The output of one partition after the other; whoever had it before writes nothing more."""
    clients = ClientPool(settings, "output")
    try:
        for number in partitions:
            async with TransactionalOutput(number, settings, clients) as output:
                yield output
    finally:
        await clients.close()


async def note_topics(settings: Settings, partitions: Iterable[int], topics: KnownTopics) -> None:
    """Have the changelog's partitions say these; workers that hang are shut out of them."""
    async with aclosing(taken_over(settings, partitions)) as outputs:
        async for output in outputs:
            await output.put(TOPICS_KEY, topics.encode())


@dataclass(frozen=True, slots=True)
class _Changelog:
    """What a changelog says, by partition."""

    topics: dict[int, KnownTopics]
    """Which ones its windows were made from, where it says so."""
    reach: dict[int, int]
    """The source offset before which they have everything."""


async def _changelog(settings: Settings) -> _Changelog:
    found = _Changelog({}, {})
    async with aclosing(read_committed(settings, settings.changelog_topic)) as fetches:
        async for records in fetches:
            number = records[0].partition
            for key, value in readable(number, records):
                if key == TOPICS_KEY and value:
                    found.topics[number] = KnownTopics.decode(value)
                elif value and not key.startswith(NO_USER):
                    end = decode_window(value).last_offset + 1
                    found.reach[number] = max(end, found.reach.get(number, 0))
    return found


async def rows_up_to(settings: Settings) -> dict[int, int]:
    """By partition of the source, the offset before which Postgres has all rows; nothing where it is off."""
    if not settings.has_sink("postgres"):
        return {}
    async with connect(settings.postgres.get_secret_value()) as pool:
        return dict(await pool.fetch(NEXT_OFFSETS, settings.app_id, settings.transactions_topic))


async def _in_postgres(settings: Settings, statement: str, *arguments: str) -> None:
    if settings.has_sink("postgres"):
        async with connect(settings.postgres.get_secret_value()) as pool:
            await pool.execute(statement, settings.app_id, settings.transactions_topic, *arguments)
