"""The topics that windows and offsets belong to, by their ids.

An offset means nothing in another topic, also if that has the name. So a partition's changelog says which
topics its windows were made from and with how many partitions, under a key that is no user's; what is
restored from it, on whatever machine, says so too. Postgres keeps the same beside its offsets.
"""

from collections.abc import Mapping
from typing import Self

import msgspec

from infra.runtime.cli_errors import StopError
from infra.runtime.kafka import Cluster
from infra.runtime.settings import TopicSettings

TOPICS_KEY = b"\0topics"
_VERSION = 1
_WAYS_ON = (
    "If it has the same records at the same offsets, `txnwatch state accept` goes on where it was left. If "
    "a topic was made anew, `txnwatch state start-over` forgets windows and offsets, and scores from 0."
)


class ChangedTopicsError(StopError):
    """The topics are not those that windows and offsets belong to; the message names the ways on."""


class KnownTopics(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster's topics as they were taken over."""

    cluster: str
    source: str
    partitions: int
    ids: Mapping[str, str]
    """By name: the source and all that is written to; empty where brokers are too old to have ids."""
    version: int = _VERSION

    @classmethod
    def of(cls, cluster: Cluster, settings: TopicSettings) -> Self:
        """The topics of these settings as the cluster has them."""
        source, ids = settings.transactions_topic, cluster.ids
        known = {name: ids[name] for name in settings.topics if name in ids}
        return cls(cluster=cluster.id, source=source, partitions=len(cluster.topics[source]), ids=known)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What `encode` made.

        Raises:
            ChangedTopicsError: A later version of this program has made it.
        """
        if (version := msgspec.json.decode(data, type=_Version).version) > _VERSION:
            raise ChangedTopicsError(
                f"the windows were written by a later version of txnwatch (topics in format {version}): "
                "run that version"
            )
        return msgspec.json.decode(data, type=cls)

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    def after(self, known: Self | None) -> Self:
        """These, with those known that are switched off now, once they are found to be the same.

        Raises:
            ChangedTopicsError: They are others, or have another number of partitions.
        """
        if known is None:
            return self
        if others := self._others(known):
            raise ChangedTopicsError(
                f"windows and offsets belong to other topics: {'; '.join(others)}. {_WAYS_ON}"
            )
        self.check_partitions(known.partitions)
        return msgspec.structs.replace(self, ids={**known.ids, **self.ids})

    def check_partitions(self, known: int | None) -> None:
        """Compare the number of partitions with that of the windows, where it is known.

        Raises:
            ChangedTopicsError: It is another one.
        """
        if known not in {None, self.partitions}:
            raise ChangedTopicsError(
                f"{self.source} has {self.partitions} partitions, and users' windows are where {known} put "
                "their messages: most would be scored without their past. Stop the producers and all "
                f"workers; `txnwatch repartition {self.partitions}` then carries the windows over."
            )

    def _others(self, known: Self) -> list[str]:
        others = []
        if known.cluster != self.cluster:
            others.append(f"the cluster was {known.cluster} and is {self.cluster}")
        if known.source != self.source:
            others.append(f"they were scored from {known.source}, not from {self.source}")
        for name, topic_id in self.ids.items():
            if known.ids.get(name, topic_id) != topic_id:
                others.append(f"{name} had the id {known.ids[name]} and has {topic_id}")
        return others


class _Version(msgspec.Struct):
    version: int
