"""The data that passes between the pipeline's steps: a batch as consumed, as decoded, and as written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from infra.runtime.laps import Laps
from stream_app.scoring import Arrival, Verdict


class Record(Protocol):
    """The part of a consumed record that is used."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in offset order: what one fetch brought.

    There may be none, as a fetch of markers and aborted records alone brings nothing but a position.
    """

    partition: int
    records: Sequence[Record]
    position: int = 0
    """The consumer's after the fetch: past transaction markers, aborted and compacted records."""
    laps: Laps = field(default_factory=Laps, compare=False, repr=False)
    """How long its steps took, from when it was fetched."""

    @property
    def next_offset(self) -> int:
        """The offset to continue from once the batch is finished.

        The last record's is not enough: once retention has emptied the partition, the marker behind it is
        gone too, and the group would stand at an offset that Kafka no longer has, though nothing is lost.
        """
        return max(self.position, self.records[-1].offset + 1 if self.records else 0)


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


class Lost(StrEnum):
    """Why a partition has to be taken over again."""

    FENCED_BY_POSTGRES = "fenced_by_postgres"
    FENCED_BY_KAFKA = "fenced_by_kafka"
    UNKNOWN_COMMIT = "unknown_commit"
    DAMAGED_WINDOWS = "damaged_windows"


class LostPartitionError(Exception):
    """Another owner has taken the partition over, or may have: nothing more may be written for it."""

    def __init__(self, message: str, reason: Lost = Lost.FENCED_BY_KAFKA) -> None:
        super().__init__(message)
        self.reason = reason
