"""`txnwatch rows restore`: rows that Postgres has lost, stored again from the topic of scored transactions.

A standby that was promoted without the last commits, or a restored backup, says itself up to which offsets it
has rows. Those after them are on `transactions.scored` for as long as that topic keeps them.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from functools import partial

import asyncpg
import click
from aiokafka import ConsumerRecord

from infra.database import check_database
from infra.noting import audited
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.kafka import Records, read_committed
from infra.runtime.services import KAFKA, POSTGRES
from schemas.scored import source_of
from stream_app.settings import Settings
from stream_app.sinks.kafka import CommittedPosition, committed_positions
from stream_app.sinks.owners import SharedRowsError, claim_rows
from stream_app.sinks.postgres import MERGE, NEEDED, NEXT_OFFSETS, NOBODY, REVISE, Advance, connect
from stream_app.sinks.row_changes import Change, RowChanges, json_array

_MAKE_KNOWN = """
INSERT INTO sink_offsets (app_id, topic, partition, epoch, next_offset) SELECT $1, $2, number, 0, 0
FROM unnest($3::int[]) AS one (number) ON CONFLICT DO NOTHING
"""
_NOT_WHOLE = """
UPDATE sink_offsets SET kept_from = $4 WHERE app_id = $1 AND topic = $2 AND partition = $3
"""


class GapsError(Exception):
    """Not all that Postgres lacks can be had."""


@click.group()
def rows() -> None:
    """Look after the rows in Postgres."""


@rows.command("restore")
@click.option("--accept-gaps", is_flag=True, help="Go on without what is no longer on that topic.")
def restore_command(*, accept_gaps: bool) -> None:
    """Store rows that Postgres has lost again, from the topic of scored transactions.

    All of them are there for as long as that topic keeps them, if it was switched on all the time.
    """
    settings = Settings.load()
    with ending_in_one_line(POSTGRES, KAFKA, GapsError, SharedRowsError):
        change = partial(restore_rows, settings, accept_gaps=accept_gaps)
        stored = asyncio.run(audited(settings, "rows restore", change, "{} rows".format))
    click.echo(f"{stored} rows stored again")


async def restore_rows(settings: Settings, *, accept_gaps: bool = False) -> int:
    """Bring each partition's rows up to what the group has finished; how many were new.

    Workers may run at the same time: those of partitions that lack rows end with an error.

    Raises:
        GapsError: Not all rows can be had, and that is not accepted. Nothing was stored.
        SharedRowsError: The rows are another app's.
        KafkaError: The topic cannot be read.
        asyncpg.PostgresError: A row cannot be stored.
    """
    source, stored = (settings.app_id, settings.transactions_topic), 0
    positions = await committed_positions(settings)
    async with connect(settings.postgres.get_secret_value()) as pool:
        known = await _known(pool, settings, positions)
        ends = {
            partition: at.finished for partition, at in positions.items() if known[partition] < at.finished
        }
        if (gaps := await _gaps(settings, known, ends)) and not accept_gaps:
            scored = settings.scored_topic or "any topic (TXNWATCH_SCORED_TOPIC)"
            raise GapsError(
                f"nothing of what came from these source offsets is on {scored}: {'; '.join(gaps)}. "
                "Where all of it was refused, or cannot be had, --accept-gaps goes on without it."
            )
        async with aclosing(_scored(settings, ends)) as fetches:
            async for records in fetches:
                partition = records[0].partition
                lost = [one for one in records if known[partition] <= _source_offset(one) < ends[partition]]
                stored += await _store(pool, (*source, partition, 0), lost)
        for partition, end in ends.items():
            await pool.fetchval(MERGE, *source, partition, end, "[]", *NOBODY)
            if gaps:
                await pool.execute(_NOT_WHOLE, *source, partition, end)
    return stored


async def _known(
    pool: asyncpg.Pool, settings: Settings, positions: Mapping[int, CommittedPosition]
) -> dict[int, int]:
    """Up to which source offset Postgres has each partition's rows, as it says."""
    await check_database(pool, NEEDED)
    source = (settings.app_id, settings.transactions_topic)
    async with pool.acquire() as connection:
        await claim_rows(connection, *source, shared=settings.share_rows)
    await pool.execute(_MAKE_KNOWN, *source, sorted(positions))
    return dict(await pool.fetch(NEXT_OFFSETS, *source))


async def _store(pool: asyncpg.Pool, advance: Advance, lost: Records) -> int:
    """Store rows and revisions that are lost, in their order; how many rows were new."""
    changes = RowChanges()
    read = [Change.read(one.value or b"", one.headers) for one in lost]
    new = [change.row for change in read if changes.add(change)]
    stored: int = await pool.fetchval(MERGE, *advance, json_array(new), *NOBODY) if new else 0
    if changes.put:
        await pool.execute(REVISE, *advance[:3], *changes.as_json())
    return stored


async def _gaps(settings: Settings, known: Mapping[int, int], ends: Mapping[int, int]) -> list[str]:
    """The source offsets between each partition's rows and the first row that the topic has."""
    gaps = []
    for partition, end in sorted(ends.items()):
        first = min(end, await _first_row(settings, partition, otherwise=end))
        if known[partition] < first:
            gaps.append(f"partition {partition}, {known[partition]} to {first - 1}")
    return gaps


async def _first_row(settings: Settings, partition: int, *, otherwise: int) -> int:
    """The source offset of the first row that the topic has of a partition, foreign records passed over."""
    async with aclosing(_scored(settings, [partition])) as fetches:
        async for records in fetches:
            if rows := [source for one in records if (source := source_of(one.headers))]:
                return rows[0][1]
    return otherwise


async def _scored(settings: Settings, partitions: Collection[int]) -> AsyncGenerator[Records, None]:
    if settings.scored_topic:
        async with aclosing(read_committed(settings, settings.scored_topic, partitions)) as fetches:
            async for records in fetches:
                yield records


def _source_offset(record: "ConsumerRecord[bytes, bytes]") -> int:
    """The source offset that the record's headers name; -1, which no row lacks, for a foreign record's."""
    return (source_of(record.headers) or (0, -1))[1]
