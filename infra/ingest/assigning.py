"""Who reads what of the group, where one has to read all."""

from collections.abc import Mapping
from typing import Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class OneForAll(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """All partitions for one member of the group: a merge needs all of them. The others stand by."""

    name = "txnwatch-one-for-all"

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """All for the first by its id, which it keeps as long as it is in the group."""
        first = min(members)
        shared: dict[str, Any] = super().assign(cluster, {first: members[first]})
        nothing = ConsumerProtocolMemberAssignment(cls.version, [], b"")
        return {member: shared.get(member, nothing) for member in members}
