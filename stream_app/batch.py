"""The data that passes between the pipeline's steps: a batch as consumed, as decoded, and as written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_app.scoring import Arrival, Verdict


class Record(Protocol):
    """The part of a consumed record that is used."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in offset order, at least one: what one fetch brought."""

    partition: int
    records: Sequence[Record]

    @property
    def next_offset(self) -> int:
        """The offset to continue from once the batch is finished."""
        return self.records[-1].offset + 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no valid transaction, and why."""

    record: Record
    reason: str
    detail: str


@dataclass(slots=True)
class Intake:
    """A decoded batch: valid arrivals, refusals, and the counts of tombstones and of unknown fields."""

    arrivals: list[Arrival] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    tombstones: int = 0
    unknown_fields: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """All that a batch writes to Kafka, with the source offset that it brings the group to."""

    partition: int
    next_offset: int
    verdicts: Sequence[Verdict]
    refusals: Sequence[Refusal]
    changes: Sequence[tuple[bytes, bytes]]
    """Changed windows for the changelog: user id and encoded window."""


class LostPartitionError(Exception):
    """Another owner has taken the partition over: nothing more may be written for it from here."""
