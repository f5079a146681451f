"""What the demo counts: rows in Postgres and offsets in Kafka, which outlive every process of its own."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.runtime.kafka import AWAY, admin_client, committed_offsets, consumer_options, describe_cluster
from infra.runtime.logs import silenced
from infra.runtime.settings import Settings

_SHOW_SECONDS = 2.0
_ROWS = """
SELECT (SELECT count(*) FROM transactions),
       (SELECT count(*) FROM transactions WHERE (meta_data ->> 'is_anomaly') = 'true')"""


class Numbers(NamedTuple):
    """How many transactions are scored, and flagged, by their rows; how many wait in Kafka to be."""

    scored: int
    flagged: int
    waiting: int

    def line(self, rate: float) -> str:
        """A line of the screen; `rate` is of the scored ones, a second."""
        counted = f"{self.scored:>9,} scored  {rate:>7,.0f}/s  {self.flagged:>6,} flagged"
        return f"{time.strftime('%H:%M:%S')}  {counted}  {self.waiting:>6,} waiting"


async def show_numbers(settings: Settings, say: Callable[[str], None]) -> None:
    """Say them every other second while they change; silent while a service is away."""
    before, at = None, time.monotonic()
    while True:
        began = time.monotonic()
        try:
            with silenced("aiokafka"):
                now = await _numbers(settings)
        except (*AWAY, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(_SHOW_SECONDS)
            continue
        if before is not None and now != before:
            say(now.line((now.scored - before.scored) / (began - at)))
        before, at = now, began
        # Millions of rows take a while to count: no more than a tenth of the time is spent on it.
        await asyncio.sleep(max(_SHOW_SECONDS, 10 * (time.monotonic() - began)))


async def _numbers(settings: Settings) -> Numbers:
    connection = await asyncpg.connect(settings.postgres.get_secret_value(), timeout=_SHOW_SECONDS)
    try:
        scored, flagged = await connection.fetchrow(_ROWS)
    finally:
        await connection.close(timeout=_SHOW_SECONDS)
    return Numbers(scored, flagged, await _waiting(settings))


async def _waiting(settings: Settings) -> int:
    """How many offsets of the input the group has not committed."""
    topic = settings.transactions_topic
    async with (
        admin_client(settings, "demo") as admin,
        AIOKafkaConsumer(**consumer_options(settings, "demo")) as consumer,
    ):
        cluster = await describe_cluster(admin, [topic])
        partitions = [TopicPartition(topic, one) for one in cluster.topics[topic]]
        ends = await consumer.end_offsets(partitions)
        done = await committed_offsets(admin, settings.app_id, topic)
    return sum(
        max(end - done[one.partition].offset if one.partition in done else end, 0)
        for one, end in ends.items()
    )
