"""`txnwatch repartition`: more partitions, with users' windows where their messages come from then on.

Partitions are added to the topics, which keep their ids and their records. What has to be elsewhere is
written in one transaction (`carry_over`): ended before its commit, nothing has happened, and it is run again.
Postgres' offsets follow the commit; until they have, workers refuse to start.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from infra.decisions.publisher import last_decisions, publish
from infra.noting import audited
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.kafka import (
    Cluster,
    admin_client,
    check_nobody_runs,
    check_present,
    describe_cluster,
)
from infra.runtime.services import KAFKA, POSTGRES
from infra.topics import add_partitions, topic_config
from stream_app.commands.carry_over import CarryOver, NotPossibleError, end_former_transaction
from stream_app.commands.state import note_topics, rows_up_to
from stream_app.settings import Settings
from stream_app.sinks.kafka import CommittedPosition, committed_positions
from stream_app.sinks.postgres import connect
from stream_app.state.changelog import restore
from stream_app.state.store import WindowStore
from stream_app.state.topics import TOPICS_KEY, KnownTopics

_CACHE_BYTES = 64 << 20
_FOLLOW = """
UPDATE sink_offsets SET next_offset = greatest(next_offset, $4), topics = $5
WHERE app_id = $1 AND topic = $2 AND partition = $3
"""
_KEEP = """
INSERT INTO repartitions (app_id, topic, partitions, partitioner, finished, begins)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (app_id, topic, partitions) DO UPDATE
SET partitioner = excluded.partitioner, finished = excluded.finished, begins = excluded.begins
"""
_DONE = "UPDATE repartitions SET done = true WHERE app_id = $1 AND topic = $2 AND partitions = $3"


@click.command("repartition")
@click.argument("partitions", type=click.IntRange(1, 10_000))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
def repartition_command(partitions: int, *, dry_run: bool) -> None:
    """Raise the number of partitions of all topics, and carry users' windows over.

    Producers and workers have to be stopped. Ended in the middle, it is run again.
    """
    settings = Settings.load()
    with ending_in_one_line(StopError, KAFKA, POSTGRES):
        change = partial(repartition, settings, partitions, dry_run=dry_run)
        told = lambda done: f"{partitions} partitions, {done['moved']} windows moved"  # noqa: E731
        kept = settings.has_sink("postgres") and not dry_run
        carried = asyncio.run(audited(settings, "repartition", change, told, kept=kept))
    tense = "would be" if dry_run else "were"
    click.echo(f"{carried['moved']} of {carried['windows']} windows {tense} moved")
    click.echo(f"{carried['waiting']} messages that wait on the input {tense} moved, in their order")
    if carried["empty"]:
        click.echo(f"{carried['empty']} messages with neither key nor value {tense} left out")
    if not dry_run:
        click.echo(f"all topics have {partitions} partitions: set TXNWATCH_PARTITIONS={partitions}")


async def repartition(settings: Settings, partitions: int, *, dry_run: bool = False) -> Counter[str]:
    """Bring all topics to so many partitions; how many `windows` there are, were `moved`, and messages wait.

    Messages that are `empty` are not moved. Of topics that have so many already, nothing is.

    Raises:
        NotPossibleError: It cannot be done as things are.
        RunningError: A worker runs.
        TopicsError: A topic is missing.
        ChangedTopicsError: The windows belong to other topics.
        KafkaError: Kafka cannot be reached.
    """
    async with admin_client(settings, "repartition") as admin:
        await check_nobody_runs(admin, settings.app_id)
        cluster = await describe_cluster(admin)
        _check_counts(settings, cluster, partitions)
        if not dry_run:
            await end_former_transaction(settings)
        with _restoring(len(cluster.topics[settings.changelog_topic])) as windows:
            known = await _restored(settings, windows, cluster)
            after = replace(known, partitions=partitions)
            there = len(cluster.topics[settings.transactions_topic])
            plan = await CarryOver.planned(settings, windows, known, after, there)
            await _check_rows(settings, plan.positions)
            carried: Counter[str] = Counter()
            if known != after:
                carried = await _counted(admin, plan)
            if dry_run:
                return carried
            if known != after:
                # Windows made before they said so: ended after this, their number would be the new one.
                await note_topics(settings, windows.partitions, known)
            await add_partitions(admin, settings.topics, partitions)
            await _publish_decisions(settings)
            if known != after:
                await _restored(settings, windows, cluster)
                plan = await CarryOver.planned(settings, windows, known, after, partitions)
                await _commit(plan)
    await _follow(settings, after)
    return carried


async def _counted(admin: AIOKafkaAdminClient, plan: CarryOver) -> Counter[str]:
    """What is to be moved, once it is known that it can be: partitions that were added stay."""
    topic = plan.settings.transactions_topic
    empty = await plan.look_through(int(await topic_config(admin, topic, "max.message.bytes")))
    return plan.count() + Counter(empty=empty)


def _check_counts(settings: Settings, cluster: Cluster, partitions: int) -> None:
    check_present(cluster, settings.topics)
    counts = {name: len(cluster.topics[name]) for name in settings.topics}
    if more := [f"{name} has {count}" for name, count in counts.items() if count > partitions]:
        raise NotPossibleError(
            f"{', '.join(more)} partitions: Kafka takes none away. For fewer, name other topics, make the "
            "source among them, and `txnwatch state start-over`"
        )


@contextmanager
def _restoring(partitions: int) -> Iterator[WindowStore]:
    """A store of windows in a folder that is removed at the end, with so many partitions open."""
    with tempfile.TemporaryDirectory(prefix="txnwatch-") as folder:
        store = WindowStore(Path(folder) / "windows", cache_bytes=_CACHE_BYTES, buffer_bytes=_CACHE_BYTES)
        try:
            for number in range(partitions):
                store.open(number)
            yield store
        finally:
            for number in range(partitions):
                store.close(number)


async def _restored(settings: Settings, windows: WindowStore, cluster: Cluster) -> KnownTopics:
    """Bring the windows up to the changelog's end; the topics that they belong to.

    Raises:
        ChangedTopicsError: They belong to others than these.
    """
    now = KnownTopics.of(cluster, settings)
    known = replace(now, partitions=len(windows.partitions))
    for number in windows.partitions:
        await restore(windows, number, settings)
        if topics := windows.note(number, TOPICS_KEY):
            known = KnownTopics.decode(topics)
            known = replace(now, partitions=known.partitions).after(known)
    return known


async def _check_rows(settings: Settings, positions: Mapping[int, CommittedPosition]) -> None:
    """Look whether Postgres has the rows of all that is finished, which is not asked later."""
    if not settings.has_sink("postgres"):
        return
    stored = await rows_up_to(settings)
    if lacking := [number for number, at in positions.items() if stored.get(number, 0) < at.finished]:
        raise NotPossibleError(f"Postgres lacks rows of partitions {lacking}: first `txnwatch rows restore`")


async def _publish_decisions(settings: Settings) -> None:
    """Have the added partitions of the control topic say what the others do; nothing where none does."""
    if any((await last_decisions(settings)).values()):
        await publish(settings, settings.postgres.get_secret_value())


async def _commit(plan: CarryOver) -> None:
    """Do it, once Postgres says what is about to be done, for whoever replays it."""
    if plan.settings.has_sink("postgres"):
        await _keep(plan)
    await plan.commit()


async def _keep(plan: CarryOver) -> None:
    settings, after = plan.settings, plan.after
    begins = [plan.bounds.ends[number] for number in range(after.partitions)]
    async with connect(settings.postgres.get_secret_value()) as pool:
        place = settings.app_id, settings.transactions_topic, after.partitions
        await pool.execute(_KEEP, *place, plan.partitioner.name, plan.finished, begins)


async def _follow(settings: Settings, after: KnownTopics) -> None:
    """Bring Postgres' offsets to the group's where those are a change of partitions'."""
    if not settings.has_sink("postgres"):
        return
    positions = await committed_positions(settings)
    async with connect(settings.postgres.get_secret_value()) as pool:
        for number, at in positions.items():
            if at.partitions == after.partitions and at.changelog is None:
                place = settings.app_id, settings.transactions_topic, number
                await pool.execute(_FOLLOW, *place, at.next_offset, after.encode().decode())
        await pool.execute(_DONE, settings.app_id, settings.transactions_topic, after.partitions)
