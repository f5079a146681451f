"""`txnwatch rows restore`: rows that Postgres has lost, stored again from the topic of scored transactions.

A standby that was promoted without the last commits, or a restored backup, says itself up to which offsets it
has rows. Those after them are on `transactions.scored` for as long as that topic keeps them.
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import NamedTuple

import asyncpg
import click
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from stream_app.committed import read_committed
from stream_app.positions import committed_positions
from stream_app.postgres import MERGE, TRANSIENT, connect
from stream_app.settings import Settings

MAKE_KNOWN = """
INSERT INTO sink_offsets (topic, partition, epoch, next_offset) SELECT $1, number, 0, 0
FROM unnest($2::int[]) AS one (number) ON CONFLICT DO NOTHING
"""
KNOWN = "SELECT partition, next_offset FROM sink_offsets WHERE topic = $1"


class Gap(NamedTuple):
    """Source offsets whose rows, where there were any, are neither in Postgres nor on the topic."""

    partition: int
    first: int
    last: int


@click.group()
def rows() -> None:
    """Look after the rows in Postgres."""


@rows.command("restore")
def restore_command() -> None:
    """Store rows that Postgres has lost again, from the topic of scored transactions.

    Exit code 1 when that topic no longer has all of them.
    """
    try:
        settings = Settings()
        stored, gaps = asyncio.run(restore_rows(settings))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise click.ClickException(wrong) from None
    except KafkaError as error:
        raise click.ClickException(f"Kafka (KAFKA_BOOTSTRAP_SERVERS): {error}") from None
    except (*TRANSIENT, asyncpg.PostgresError) as error:
        raise click.ClickException(f"Postgres (POSTGRES_URL): {error}") from None
    click.echo(f"{stored} rows stored again")
    for gap in gaps:
        click.echo(
            f"partition {gap.partition}: {settings.scored_topic} no longer has what came from the offsets "
            f"{gap.first} to {gap.last}",
            err=True,
        )
    raise SystemExit(1 if gaps else 0)


async def restore_rows(settings: Settings) -> tuple[int, list[Gap]]:
    """Bring each partition's rows up to the group's offset; how many were new, and what cannot be had.

    Workers may run meanwhile: they refuse the partitions that lack rows.

    Raises:
        KafkaError: The topic cannot be read.
        asyncpg.PostgresError: A row cannot be stored.
    """
    topic, stored = settings.transactions_topic, 0
    positions = await committed_positions(settings)
    cut = await _cut(settings, positions.keys())
    async with connect(settings.postgres.get_secret_value()) as pool:
        await pool.execute(MAKE_KNOWN, topic, sorted(positions))
        known: dict[int, int] = dict(await pool.fetch(KNOWN, topic))
        begins = {partition: positions[partition].next_offset for partition in cut}
        async with aclosing(read_committed(settings.servers, settings.scored_topic)) as fetches:
            async for records in fetches:
                partition, first = records[0].partition, _source_offset(records[0])
                begins[partition] = min(first, begins.get(partition, 0))
                lost = [one for one in records if _source_offset(one) >= known.get(partition, 0)]
                if lost:
                    rows = b"[" + b",".join([one.value or b"" for one in lost]) + b"]"
                    reached = _source_offset(lost[-1]) + 1
                    stored += await pool.fetchval(MERGE, topic, partition, reached, rows.decode())
        for partition, position in positions.items():
            await pool.fetchval(MERGE, topic, partition, position.next_offset, "[]")
    gaps = [Gap(partition, known[partition], begin - 1) for partition, begin in sorted(begins.items())]
    return stored, [gap for gap in gaps if gap.first <= gap.last]


async def _cut(settings: Settings, partitions: Iterable[int]) -> set[int]:
    """The partitions whose first scored transactions are no longer on the topic."""
    async with AIOKafkaConsumer(bootstrap_servers=settings.servers) as consumer:
        wanted = [TopicPartition(settings.scored_topic, partition) for partition in partitions]
        beginnings = await consumer.beginning_offsets(wanted) if wanted else {}
    return {source.partition for source, offset in beginnings.items() if offset > 0}


def _source_offset(record: "ConsumerRecord[bytes, bytes]") -> int:
    return int(dict(record.headers)["source-offset"])
