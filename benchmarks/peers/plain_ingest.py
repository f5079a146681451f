"""What one would write to take a foreign topic in: aiokafka's transactions, `json`, and a record at a time.

Arguments: the broker, the foreign topic, the topic of transactions and the group.
"""

import asyncio
import json
import sys
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


def transaction(payment: dict[str, Any]) -> dict[str, Any]:
    """Ours of theirs."""
    return {
        "id": str(uuid5(NAMESPACE_URL, payment["ref"])),
        "user_id": payment["customer"],
        "amount": payment["value"],
        "currency": payment["ccy"],
        "txn_date": payment["at"],
        "status": "paid",
        "meta_data": {"ref": payment["ref"]},
    }


async def main(broker: str, source: str, target: str, group: str) -> None:
    """Run until killed."""
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=broker,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=group, compression_type="lz4")
    async with consumer, producer:
        while True:
            fetched = await consumer.getmany(timeout_ms=200, max_records=20_000)
            if not fetched:
                continue
            async with producer.transaction():
                for records in fetched.values():
                    for record in records:
                        ours = transaction(json.loads(record.value))
                        value = json.dumps(ours).encode()
                        await producer.send(target, value, key=ours["user_id"].encode())
                offsets = {one: records[-1].offset + 1 for one, records in fetched.items()}
                await producer.send_offsets_to_transaction(offsets, group)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
