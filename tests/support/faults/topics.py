"""What is done to topics under a worker: made anew, cut at their beginning, limited."""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.support.faults.rig import Rig
from tests.support.installation import Installation


async def make_anew(installation: Installation, topic: str) -> None:
    """Delete a topic and create it again, empty."""
    async with installation.administration() as admin:
        await admin.delete_topics([topic])
        # The broker takes a name again only once all of the former topic is gone.
        for _ in range(100):
            response = await admin.create_topics(
                [NewTopic(name=topic, num_partitions=4, replication_factor=1)]
            )
            if not response.topic_errors[0][1]:
                return
    raise AssertionError(f"{topic} could not be created again")


async def delete_waiting(ground: Rig, count: int) -> dict[int, int]:
    """Delete so many records a partition that are still to be scored; where each begins now."""
    beginnings = {partition: offset + count for partition, offset in (await ground.offsets()).items()}
    deletions = {
        TopicPartition(ground.transactions, partition): RecordsToDelete(before_offset=offset)
        for partition, offset in beginnings.items()
    }
    async with ground.administration() as admin:
        await admin.delete_records(deletions)
    return beginnings


async def configure(ground: Rig, topic: str, **values: Any) -> None:
    """Set a topic's configuration, with underscores for the dots."""
    names = {name.replace("_", "."): str(value) for name, value in values.items()}
    async with ground.administration() as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, names)])
