"""What tests post, and what has come of it on the input topic."""

import json
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from api.settings import Settings
from tests.support.rows import Made
from tests.support.serving import Client

LINES = "application/x-ndjson"


def given(one: Made) -> dict[str, Any]:
    """The transaction as a client has it."""
    meta_data = one.txn.meta_data or {}
    return {**one.shown, "meta_data": meta_data}


def lines(*ones: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\r\n\n" for one in ones)


async def post(client: Client, body: Any, media: str = "application/json", **query: str) -> tuple[int, Any]:
    """Status and JSON of what is posted."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": media}
    async with client.post("/transactions", data=BytesIO(data), params=query, headers=headers) as response:
        if response.status in {429, 503}:
            assert int(response.headers["Retry-After"]) > 0
        return response.status, await response.json()


async def taken(settings: Settings) -> list[ConsumerRecord[bytes, bytes]]:
    """All that is on the input topic."""
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(settings.transactions_topic, number) for number in range(4)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        records: list[ConsumerRecord[bytes, bytes]] = []
        while len(records) < sum(ends.values()):
            for some in (await consumer.getmany(timeout_ms=100)).values():
                records += some
        return records
