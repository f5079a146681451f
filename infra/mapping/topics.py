"""The newest records of a topic, as `ingest` gives them to mappings."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.ingest.decoding import Decoding
from infra.ingest.registry import Registry
from infra.ingest.settings import Settings
from infra.mapping.sample import MOST
from infra.produce.errors import InputError
from infra.produce.records import Record
from infra.runtime.kafka import admin_client, consumer_options, describe_cluster, read_until
from infra.runtime.logs import silenced
from schemas.mapping import Unmapped
from schemas.mapping.ready import ready_mapping
from schemas.mapping.spec import MetaDataSpec, SourceSpec

_PATIENCE: Final = 10.0  # seconds without a record: what is there by then is the sample
# Any mapping that names what stands beside a record's own fields: then it is decoded, too.
_BESIDE = msgspec.structs.replace(
    ready_mapping("handbook"),
    source=SourceSpec(),
    meta_data=MetaDataSpec(keep=["kafka.key", "kafka.timestamp"]),
)


async def sample_of_topic(settings: Settings, topic: str) -> list[Record]:
    """The newest records of each partition, decoded; what cannot be is left out.

    Raises:
        InputError: There is no such topic, or there are no records in it that can be read.
    """
    async with Registry(settings.schema_registry_url, settings.schema_registry_token) as registry:
        decoding = Decoding(_BESIDE, registry)
        with silenced("aiokafka"):
            fetched = [record async for record in _newest(settings, topic)]
        await decoding.prepare(fetched)
        found = [fields for record in fetched if isinstance(fields := _decoded(decoding, record), dict)]
    if not found:
        raise InputError(f"none of its {len(fetched):,} newest records can be read as fields")
    return found


def _decoded(decoding: Decoding, record: Any) -> Record | str:
    try:
        return decoding.decode(record)
    except Unmapped as unmapped:
        return unmapped.reason


async def _newest(settings: Settings, topic: str) -> AsyncIterator[Any]:
    async with admin_client(settings, "mapping") as admin:
        numbers = (await describe_cluster(admin, [topic])).topics.get(topic)
    if not numbers:
        raise InputError("there is no such file, nor such a topic")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    async with AIOKafkaConsumer(**consumer_options(settings, "mapping")) as consumer:
        consumer.assign(partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        consumer.pause(*partitions)
        for one in partitions:
            consumer.seek(one, max(begins[one], ends[one] - MOST // len(partitions)))
            consumer.resume(one)
            async with aclosing(read_until(consumer, one, ends[one], patience=_PATIENCE)) as fetches:
                async for records in fetches:
                    for record in records:
                        yield record
            consumer.pause(one)
