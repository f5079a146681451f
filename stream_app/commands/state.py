"""`txnwatch state`: the two ways on when a topic is not the one that windows and offsets belong to."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import click
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from msgspec.structs import replace

import infra.runtime.settings
from infra.runtime.aiokafka_changes import send_request
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.kafka import (
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
from stream_app.settings import Settings
from stream_app.sinks.kafka import TransactionalOutput
from stream_app.sinks.postgres import connect
from stream_app.state.topics import TOPICS_KEY, KnownTopics

_ACCEPT = "UPDATE sink_offsets SET topics = $3 WHERE app_id = $1 AND topic = $2"
_FORGET = """
UPDATE sink_offsets SET topics = '', next_offset = 0, epoch = epoch + 1 WHERE app_id = $1 AND topic = $2
"""
_POLL_SECONDS = 0.05
_NO_SUCH_GROUP = 69  # GROUP_ID_NOT_FOUND


@click.group()
def state() -> None:
    """Say what windows and offsets belong to, when topics have been replaced."""


@state.command("accept")
def accept_command() -> None:
    """Go on with topics that hold the same data as before, restored or mirrored."""
    settings = Settings.load()
    with ending_in_one_line(StopError, KAFKA, POSTGRES):
        asyncio.run(accept(settings))
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
        asyncio.run(start_over(settings))
    click.echo("forgotten. Delete each worker's folder of windows (in TXNWATCH_DATADIR) before it starts.")


async def accept(settings: Settings) -> None:
    """Have changelog and Postgres say that what they hold belongs to the topics as they are now.

    Raises:
        RunningError: A worker runs.
        TopicsError: The topics do not fit together.
        KafkaError: Kafka cannot be reached.
    """
    now = KnownTopics.of(await check_topics(settings, settings.topics), settings)
    async with admin_client(settings, "state") as admin:
        await check_nobody_runs(admin, settings.app_id)
    # With another number of partitions windows would be where no message comes: that is not accepted here.
    numbers = [one.partitions for one in (await known_topics(settings)).values()]
    encoded = replace(now, partitions=min(numbers, default=now.partitions)).encode()
    async with aclosing(taken_over(settings, range(now.partitions))) as outputs:
        async for output in outputs:
            await output.put(TOPICS_KEY, encoded)
    await _in_postgres(settings, _ACCEPT, encoded.decode())


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
        await admin.delete_topics([changelog])
        while changelog in (await describe_cluster(admin)).topics:  # noqa: ASYNC110 - a broker sends no news of it
            await asyncio.sleep(_POLL_SECONDS)
        await _delete_group(admin, settings.app_id)
    await _in_postgres(settings, _FORGET)
    await ensure_topics(infra.runtime.settings.Settings.load(partitions=len(cluster.topics[source])))


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


async def known_topics(settings: Settings) -> dict[int, KnownTopics]:
    """By partition of the changelog, which topics its windows were made from, where it says so."""
    found: dict[int, KnownTopics] = {}
    async with aclosing(read_committed(settings, settings.changelog_topic)) as fetches:
        async for records in fetches:
            for record in records:
                if record.key == TOPICS_KEY and record.value:
                    found[record.partition] = KnownTopics.decode(record.value)
    return found


async def _in_postgres(settings: Settings, statement: str, *arguments: str) -> None:
    if settings.has_sink("postgres"):
        async with connect(settings.postgres.get_secret_value()) as pool:
            await pool.execute(statement, settings.app_id, settings.transactions_topic, *arguments)
