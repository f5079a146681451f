"""Where the group is, by the offsets that batches have committed with their outputs."""

from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from infra.runtime.aiokafka_changes import send_request
from stream_app.settings import Settings


class Position(NamedTuple):
    """How far a partition has come."""

    next_offset: int
    """The first source offset that is not finished."""
    changelog: int | None
    """The offset of a change that the changelog is known to have, -1 before the first; see the outbox.

    None for an offset that no batch has committed: it says nothing of what was done before.
    """

    @property
    def finished(self) -> int:
        """The source offset before which batches have committed everything."""
        return 0 if self.changelog is None else self.next_offset


NOWHERE = Position(0, None)


async def committed_positions(settings: Settings) -> dict[int, Position]:
    """The group's position by partition; without those that it has none for.

    Raises:
        KafkaError: The broker cannot be reached, or does not know yet. aiokafka's own calls take a
            coordinator that is still loading for a group without offsets.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.servers, client_id=f"{settings.app_id}-positions")
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(settings.app_id)
        request = OffsetFetchRequest(settings.app_id, None)
        response = await send_request(admin, request, coordinator)
    finally:
        await admin.close()
    positions = {}
    for topic, partitions in response.topics:
        for partition, offset, metadata, error in partitions:
            _check(error)
            if topic == settings.transactions_topic and offset >= 0:
                positions[partition] = Position(offset, _changelog(metadata))
    _check(response.error_code)
    return positions


def _check(error: int) -> None:
    if error:
        raise for_code(error)("the group's offsets")


def _changelog(metadata: str) -> int | None:
    return int(metadata) if metadata.lstrip("-").isdecimal() else None
