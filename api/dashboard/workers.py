"""The workers as Kafka knows them: how far their group is, and who holds which partitions."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError

from api.dashboard.answers import Worker, Workers
from api.live.broker import Broker
from api.web.problems import Unavailable
from infra.runtime.kafka import AWAY, committed_offsets

T = TypeVar("T")
_URL = re.compile(rb'"url":\s*"https?://([^"/]{1,200})')


class Group:
    """Answers about one consumer group over one connection, made when asked and again after a failure.

    Every answer is bounded in time; raises Unavailable.
    """

    def __init__(self, broker: Broker, name: str, topic: str, *, seconds: float) -> None:
        self._broker = broker
        self._name = name
        self._topic = topic
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._admin: AIOKafkaAdminClient | None = None

    async def close(self) -> None:
        """Closes the connection; idempotent."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def committed(self) -> dict[int, int]:
        """The next offset of each partition of the topic that the group has finished something of."""
        none: dict[int, Any] = {}
        offsets = await self._ask(lambda admin: committed_offsets(admin, self._name, self._topic), none)
        return {partition: found.offset for partition, found in offsets.items()}

    async def workers(self, partitions: Sequence[int]) -> Workers:
        """The members, and which of these partitions none of them holds."""
        answers: Sequence[Any] = await self._ask(
            lambda admin: admin.describe_consumer_groups([self._name]), []
        )
        groups = [group for answer in answers for group in answer.groups]
        state = str(groups[0][2]).lower() if groups else "dead"
        members = [self._worker(member) for group in groups for member in group[5]]
        held = {partition for worker in members for partition in worker.partitions}
        return Workers(
            group=self._name,
            state="none" if state == "dead" else state,
            workers=sorted(members, key=lambda worker: (worker.address, worker.id)),
            unassigned=[partition for partition in partitions if partition not in held],
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

    async def _ask(self, question: Callable[[AIOKafkaAdminClient], Awaitable[T]], unknown: T) -> T:
        """The answer, or `unknown` while no group has ever been seen by this cluster."""
        try:
            async with asyncio.timeout(self._seconds):
                return await question(await self._connected())
        except GroupCoordinatorNotAvailableError:
            return unknown
        except AWAY as error:
            await self.close()
            raise Unavailable("kafka", "Kafka does not answer.") from error

    async def _connected(self) -> AIOKafkaAdminClient:
        async with self._lock:
            if self._admin is None:
                admin = self._broker.admin()
                await self._broker.start(admin.start, admin.close)
                self._admin = admin
            return self._admin


def _partitions(assignment: bytes, topic: str) -> list[int]:
    """A member's partitions of this topic; none while the group shares out."""
    if not assignment:
        return []
    decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    return sorted(number for name, numbers in decoded.assignment if name == topic for number in numbers)
