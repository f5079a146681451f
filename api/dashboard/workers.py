"""The workers as Kafka knows them: how far their group is, and who holds which partitions."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError

from api.live.broker import Broker
from api.settings import Settings
from infra.runtime.kafka import committed_offsets
from schemas.placement import Placement

_ANSWERING = ClientTimeout(total=1)
_URL = re.compile(rb'"url":\s*"https?://([^"/]{1,200})')


class Worker(msgspec.Struct, frozen=True):
    """One member of the workers' consumer group; `address` is where its web views are."""

    id: str
    host: str
    address: str
    partitions: Sequence[int]


class Workers(msgspec.Struct, frozen=True):
    """The group as Kafka describes it (`stable`, `empty`, …) and the partitions that nobody holds."""

    group: str
    state: str
    workers: Sequence[Worker]
    unassigned: Sequence[int]
    placement: Placement
    """Of all workers that answer."""


class WorkerGroup:
    """Answers about the workers' consumer group; each ends as Unavailable without Kafka."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._name = settings.app_id
        self._topic = settings.transactions_topic

    async def committed(self) -> dict[int, int]:
        """The next offset of each partition of the source that the group has finished something of."""

        async def ask(admin: AIOKafkaAdminClient) -> dict[int, int]:
            with suppress(GroupCoordinatorNotAvailableError):  # the cluster has never seen a group
                offsets = await committed_offsets(admin, self._name, self._topic)
                return {partition: found.offset for partition, found in offsets.items()}
            return {}

        return await self._broker.ask_admin(ask)

    async def workers(self) -> Workers:
        """The members, and the partitions of the source that none of them holds."""

        async def ask(admin: AIOKafkaAdminClient) -> list[Any]:
            with suppress(GroupCoordinatorNotAvailableError):
                answers = await admin.describe_consumer_groups([self._name])
                return [group for answer in answers for group in answer.groups]
            return []

        partitions = sorted(await self._broker.ends(self._topic))
        groups = await self._broker.ask_admin(ask)
        state = str(groups[0][2]).lower() if groups else "dead"
        members = [self._worker(member) for group in groups for member in group[5]]
        held = {partition for worker in members for partition in worker.partitions}
        return Workers(
            group=self._name,
            state="none" if state == "dead" else state,
            workers=sorted(members, key=lambda worker: (worker.address, worker.id)),
            unassigned=[partition for partition in partitions if partition not in held],
            placement=await _placement(members),
        )

    def _worker(self, member: Sequence[Any]) -> Worker:
        member_id, _client, host, metadata, assignment = member
        address = _URL.search(metadata or b"")
        return Worker(
            id=member_id,
            host=host.removeprefix("/"),
            address=address[1].decode(errors="replace") if address else "",
            partitions=_partitions(assignment, self._topic),
        )


async def _placement(workers: Iterable[Worker]) -> Placement:
    """What they have seen together."""
    seen = await asyncio.gather(*(_placement_at(worker.address) for worker in workers))
    return Placement(
        next((one.partitioner for one in seen if one.partitioner), None), sum(one.misplaced for one in seen)
    )


async def _placement_at(address: str) -> Placement:
    """What the worker at this address has seen; nothing where it does not answer."""
    with suppress(ClientError, OSError, ValueError):  # ValueError: no URL, or no answer of ours
        async with (
            ClientSession(timeout=_ANSWERING, trust_env=False) as session,
            session.get(f"http://{address}/placement/", raise_for_status=True) as response,
        ):
            return msgspec.json.decode(await response.read(), type=Placement)
    return Placement(None, 0)


def _partitions(assignment: bytes, topic: str) -> list[int]:
    """A member's partitions of this topic; none while the group shares out."""
    if not assignment:
        return []
    decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    return sorted(number for name, numbers in decoded.assignment if name == topic for number in numbers)
