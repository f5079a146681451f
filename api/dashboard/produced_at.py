"""When a flagged transaction was produced: the timestamp of the source record that its headers name."""

import asyncio

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from api.dashboard.answers import Produced
from schemas.scored import source_of

_SECONDS = 1.0


class _Identified(msgspec.Struct):
    id: str


async def produced(flag: ConsumerRecord, source: AIOKafkaConsumer, topic: str) -> Produced | None:
    """None where the record is not found, or not soon enough.

    `source` is a paused consumer of the source topic, which reads nothing else.
    """
    number, offset = source_of(flag.headers) or (-1, -1)
    partition = TopicPartition(topic, number)
    if partition not in source.assignment():
        return None
    source.seek(partition, offset)
    source.resume(partition)
    try:
        async with asyncio.timeout(_SECONDS):
            record = await source.getone(partition)
        identified = msgspec.json.decode(flag.value, type=_Identified)
    except (KafkaError, TimeoutError, msgspec.DecodeError):
        return None
    finally:
        source.pause(partition)
    return Produced(identified.id, record.timestamp) if record.offset == offset else None
