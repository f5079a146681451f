"""The limit of `whole`: COPY into a staging table, INSERT from there, commit; the bytes are made beforehand.

Run as a process by `CopyAlone`: it reads the topic, encodes every row as the worker does, and only then
takes the time of writing them, one connection and one transaction a batch for each partition.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import asyncpg
import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.bed import PARTITIONS
from schemas.transaction import Decoder
from stream_app.scoring import Verdict, identity_of
from stream_app.sinks.copy_format import COLUMNS, copy_chunks
from stream_app.sinks.postgres import LOCK, TAKE_OVER, connect
from stream_app.window.recent import entries_of

_APP = "txnwatch"
BATCH_SIZE = 4_000  # the fastest of 1,000 to 16,000 here
STAGING = """
CREATE TEMP TABLE IF NOT EXISTS staging (
    id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, source integer,
    source_offset bigint, status text, meta_data jsonb
) ON COMMIT DELETE ROWS
"""
STORE = f"""
INSERT INTO transactions ({", ".join(COLUMNS)})
SELECT {", ".join(COLUMNS)} FROM staging ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
STORE_USERS = "INSERT INTO users (user_id) SELECT DISTINCT user_id FROM staging ON CONFLICT DO NOTHING"
ADVANCE = "UPDATE sink_offsets SET next_offset = $4 WHERE app_id = $1 AND topic = $2 AND partition = $3"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch as COPY takes it."""

    chunks: Sequence[bytes]
    next_offset: int


async def main() -> None:
    """Print rate, CPU time and memory as JSON."""
    topic, url = os.environ["PEER_INPUT"], os.environ["PEER_POSTGRES"]
    batches = [await _encoded(topic, partition) for partition in range(PARTITIONS)]
    count = sum(partition[-1].next_offset for partition in batches)
    async with connect(url) as pool:
        for partition in range(PARTITIONS):
            await pool.execute(TAKE_OVER, _APP, topic, partition)
        connections = [await pool.acquire() for _ in batches]
        await asyncio.gather(*(connection.execute(STAGING) for connection in connections))
        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for partition, each in enumerate(batches):
                group.create_task(_write(connections[partition], topic, partition, each))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        for connection in connections:
            await pool.release(connection)
    memory = psutil.Process().memory_info().rss
    lap = {"rate": count / seconds, "cpu_microseconds": cpu / count * 1e6, "memory_bytes": memory}
    print(json.dumps(lap))  # noqa: T201 - this is its output


async def _write(
    connection: asyncpg.Connection, topic: str, partition: int, batches: Sequence[Encoded]
) -> None:
    for batch in batches:
        async with connection.transaction():
            await connection.fetchrow(LOCK, _APP, topic, partition)
            await connection.copy_to_table("staging", source=_stream(batch.chunks), format="binary")
            await connection.execute(STORE)
            await connection.execute(STORE_USERS)
            await connection.execute(ADVANCE, _APP, topic, partition, batch.next_offset)


async def _stream(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _encoded(topic: str, partition: int) -> list[Encoded]:
    verdicts = _verdicts(await _records(TopicPartition(topic, partition)))
    return [Encoded(list(copy_chunks(batch, 1)), batch[-1].offset + 1) for batch in _batches(verdicts)]


def _batches(verdicts: Iterator[Verdict]) -> Iterator[list[Verdict]]:
    while batch := list(islice(verdicts, BATCH_SIZE)):
        yield batch


async def _records(source: TopicPartition) -> list[Any]:
    records: list[Any] = []
    async with AIOKafkaConsumer(bootstrap_servers=os.environ["PEER_KAFKA"]) as consumer:
        consumer.assign([source])
        await consumer.seek_to_beginning(source)
        end = (await consumer.end_offsets([source]))[source]
        while await consumer.position(source) < end:
            for fetched in (await consumer.getmany(source, timeout_ms=200)).values():
                records += fetched
    return records


def _verdicts(records: list[Any]) -> Iterator[Verdict]:
    decode = Decoder().decode
    for record in records:
        transaction = decode(record.value, record.key, record.timestamp)
        identity = identity_of(transaction.id)
        [entry] = entries_of([transaction], [identity])
        yield Verdict(record.offset, identity, entry, transaction, None)


if __name__ == "__main__":
    uvloop.run(main())
