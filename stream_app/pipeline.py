"""The eight steps that a batch goes through, in the order by which nothing is lost and nothing doubled.

A batch is what one fetch brought for one partition; a partition has one batch in flight at a time.
RocksDB is never ahead of Kafka, and Kafka never ahead of Postgres: a crash between any two steps replays
the batch, the same windows give the same verdicts, and Postgres drops the rows that it already has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.transaction import Decoder, Refused
from stream_app.scoring import Arrival, Detector, Scores, Verdict, score
from stream_app.window import Window, encode_window


class Record(Protocol):
    """What the pipeline needs of a consumed record; aiokafka's ConsumerRecord has it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in offset order, at least one."""

    partition: int
    records: Sequence[Record]

    @property
    def next_offset(self) -> int:
        """The offset to go on from once the batch is finished."""
        return self.records[-1].offset + 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no transaction, and why."""

    record: Record
    reason: str
    detail: str


@dataclass(slots=True)
class Intake:
    """A decoded batch: valid arrivals, refusals, and what was passed over and counted."""

    arrivals: list[Arrival] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    tombstones: int = 0
    unknown_fields: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """All that a batch puts into Kafka, with the source offset that it brings the group to."""

    partition: int
    next_offset: int
    verdicts: Sequence[Verdict]
    refusals: Sequence[Refusal]
    changes: Sequence[tuple[bytes, bytes]]


class LostPartitionError(Exception):
    """Another owner has taken the partition over: nothing more may be written for it from here."""


class Rows(Protocol):
    """Step 4. Raises LostPartitionError when the epoch is no longer ours."""

    async def write(self, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """Store the rows and advance the partition's offset, all or nothing; how many rows were new."""


class Outbox(Protocol):
    """Step 5. Raises LostPartitionError when this producer was fenced."""

    async def commit(self, output: Output) -> int | None:
        """Put the output into Kafka, all or nothing; the changelog offset of the last change, if any."""


class Windows(Protocol):
    """Steps 2 and 6."""

    def load(self, partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        """A window for each user, a new one for a user who has none."""

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put encoded windows by key and set the changelog offset, in one write."""


class Mirror(Protocol):
    """Step 7. Never raises, never waits."""

    def put(self, partition: int, windows: Mapping[str, Window]) -> None:
        """Take note of changed windows, to be mirrored soon."""


class Tally(Protocol):
    """Counts what happened, for the metrics."""

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Add to the counts by outcome."""


class Pipeline:
    """The steps for one partition, under the epoch that its owner was given."""

    def __init__(
        self,
        epoch: int,
        *,
        decoder: Decoder,
        detector: Detector,
        windows: Windows,
        rows: Rows | None,
        outbox: Outbox,
        mirror: Mirror | None,
        tally: Tally,
    ) -> None:
        self._epoch = epoch
        self._decoder = decoder
        self._detector = detector
        self._windows = windows
        self._rows = rows
        self._outbox = outbox
        self._mirror = mirror
        self._tally = tally

    async def process(self, batch: Batch) -> None:
        """Bring a batch through steps 1 to 7; step 8, the acknowledgement, is the caller's on return."""
        intake = self._decode(batch)
        windows = self._load(batch.partition, intake.arrivals)
        scores = score(intake.arrivals, windows, self._detector)
        changed = {user: window for user, window in windows.items() if window.joined}
        output = _output(batch, intake, scores, changed)
        stored = await self._store_rows(output)
        changelog_offset = await self._outbox.commit(output)
        self._keep_windows(output, changelog_offset)
        self._mirror_windows(batch.partition, changed)
        self._tally.count(_outcomes(intake, scores, stored))

    def _decode(self, batch: Batch) -> Intake:
        intake = Intake()
        records = [record for record in batch.records if record.value is not None]
        intake.tombstones = len(batch.records) - len(records)
        found = self._decoder.decode_many(
            [record.value or b"" for record in records],
            [record.key for record in records],
            [record.timestamp for record in records],
        )
        for record, one in zip(records, found, strict=True):
            if isinstance(one, Refused):
                intake.refusals.append(Refusal(record, one.reason, one.detail))
            else:
                intake.unknown_fields += one.unknown
                intake.arrivals.append(Arrival(record.offset, record.timestamp, one))
        return intake

    def _load(self, partition: int, arrivals: Iterable[Arrival]) -> dict[str, Window]:
        # In their order: RocksDB writes sorted keys in half the time.
        return self._windows.load(partition, sorted({arrival.transaction.user_id for arrival in arrivals}))

    async def _store_rows(self, output: Output) -> int:
        if self._rows is None:
            return len(output.verdicts)
        return await self._rows.write(output.partition, self._epoch, output.verdicts, output.next_offset)

    def _keep_windows(self, output: Output, changelog_offset: int | None) -> None:
        if changelog_offset is not None:
            self._windows.write(output.partition, output.changes, changelog_offset)

    def _mirror_windows(self, partition: int, windows: Mapping[str, Window]) -> None:
        if self._mirror is not None:
            self._mirror.put(partition, windows)


def _output(batch: Batch, intake: Intake, scores: Scores, windows: Mapping[str, Window]) -> Output:
    changes = [(user.encode(), encode_window(window)) for user, window in windows.items()]
    return Output(batch.partition, batch.next_offset, scores.verdicts, intake.refusals, changes)


def _outcomes(intake: Intake, scores: Scores, stored: int) -> Counter[str]:
    outcomes = Counter(f"refused_{refusal.reason}" for refusal in intake.refusals)
    outcomes["scored"] = len(scores.verdicts)
    outcomes["flagged"] = len([verdict for verdict in scores.verdicts if verdict.flag])
    outcomes["duplicate"] = scores.duplicates
    outcomes["replayed"] = scores.replayed
    outcomes["already_stored"] = len(scores.verdicts) - stored
    outcomes["tombstone"] = intake.tombstones
    outcomes["unknown_field"] = intake.unknown_fields
    return outcomes
