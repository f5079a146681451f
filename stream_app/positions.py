"""Where the group is, by the offsets that batches have committed with their outputs."""

from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from stream_app.settings import Settings


class Position(NamedTuple):
    """How far a partition's batches have come."""

    next_offset: int = 0
    """The first source offset that is not finished."""
    changelog: int = -1
    """The offset of a change that the changelog is known to have: see the outbox."""


NOWHERE = Position()


async def committed_positions(settings: Settings) -> dict[int, Position]:
    """By partition; without those that an operator has set, which say nothing of what was done before."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.servers, client_id=f"{settings.app_id}-positions")
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(settings.app_id)
    finally:
        await admin.close()
    return {
        source.partition: Position(offset.offset, int(offset.metadata))
        for source, offset in offsets.items()
        if source.topic == settings.transactions_topic and offset.metadata.lstrip("-").isdecimal()
    }
