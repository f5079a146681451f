"""The open-loop producer of `latency`, a process of its own so that nothing else delays it.

`python -m benchmarks.paced TOPIC RATE SECONDS START`, with START on the machine's monotonic clock. Prints how
late the sends were, in milliseconds.
"""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.bed import PARTITIONS
from benchmarks.schedule import HOMES, Schedule, percentile, transaction_id

TICK_SECONDS = 0.005


async def main(topic: str, schedule: Schedule, start: float) -> None:
    """Send every transaction when it is due; what is overdue is sent at once, never left out."""
    late: list[float] = []
    async with AIOKafkaProducer(
        bootstrap_servers=os.environ["PEER_KAFKA"], compression_type="lz4", linger_ms=0
    ) as producer:
        sent = 0
        while sent < schedule.count:
            elapsed = time.monotonic() - start
            due = schedule.due_by(elapsed) if elapsed >= 0 else 0
            if due > sent:
                late += (1000 * (elapsed - schedule.due(number)) for number in range(sent, due))
                await send(producer, topic, schedule, sent, due)
                sent = due
            await asyncio.sleep(TICK_SECONDS)
        await producer.flush()
    print(msgspec.json.encode(percentile(sorted(late), 99)).decode())  # noqa: T201 - this is its output


async def send(producer: AIOKafkaProducer, topic: str, schedule: Schedule, first: int, beyond: int) -> None:
    """Hand the transactions from `first` up to `beyond` to the producer, one batch a partition."""
    batches = [producer.create_batch() for _ in range(PARTITIONS)]
    date = datetime.now(UTC).isoformat()
    for number in range(first, beyond):
        user = schedule.user(number)
        value = message(transaction_id(number), user, date)
        batch = batches[HOMES[user]]
        if batch.append(timestamp=None, key=user.encode(), value=value) is None:
            await producer.send_batch(batch, topic, partition=HOMES[user])
            batch = batches[HOMES[user]] = producer.create_batch()
            batch.append(timestamp=None, key=user.encode(), value=value)
    for partition, batch in enumerate(batches):
        if batch.record_count():
            await producer.send_batch(batch, topic, partition=partition)


def message(identity: str, user: str, date: str, amount: str = "12.30") -> bytes:
    """A transaction as the topic holds it."""
    return (
        f'{{"id":"{identity}","user_id":"{user}","amount":"{amount}","currency":"INR",'
        f'"txn_date":"{date}","status":"paid"}}'
    ).encode()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Schedule(int(sys.argv[2]), float(sys.argv[3])), float(sys.argv[4])))
