"""The eight steps of a batch, in the order by which nothing is lost and nothing is doubled.

A partition has one batch in flight at a time; partitions overlap. RocksDB is never ahead of Kafka, and Kafka
never ahead of Postgres: a crash between any two steps replays the batch, the same windows give the same
verdicts, and Postgres drops the rows that it already has.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.runtime.cli_errors import StopError
from schemas.refusal import Refused
from schemas.transaction import Decoder
from stream_app.batch import Batch, Intake, Output, Refusal
from stream_app.scoring import Arrival, DetectorError, MerchantRuns, Scorer, Scores, Verdict
from stream_app.window import Window, encode_window


class UserWindows(Protocol):
    """Steps 2 and 6: each user's window."""

    def load(self, partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        """A window for each user, an empty one for a user who has none."""

    def runs(self, partition: int, merchants: Collection[str]) -> MerchantRuns:
        """What labels say of these merchants, as far as the partition has applied them."""

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put encoded windows by key and set the changelog offset, in one write."""


class Rows(Protocol):
    """Step 4. Raises LostPartitionError when the epoch is no longer ours."""

    async def write(self, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """Store rows and revisions and advance the offset, all or nothing; how many rows were new."""


class Publisher(Protocol):
    """Step 5. Raises LostPartitionError when this producer was fenced."""

    async def commit(self, output: Output) -> int | None:
        """Write the output to Kafka, all or nothing; the changelog offset of the last change, if any."""


class Mirror(Protocol):
    """Step 7. Never raises, never waits."""

    def put(self, partition: int, windows: Mapping[str, Window]) -> None:
        """Note changed windows, to be mirrored soon."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps for one partition, under the epoch that its owner was given."""

    epoch: int
    publisher: Publisher
    decoder: Decoder
    scorer: Scorer
    windows: UserWindows
    rows: Rows
    mirror: Mirror
    count: Callable[[Mapping[str, int]], None]
    observe: Callable[[Scores], None] = lambda _scores: None
    see_to: Callable[[Mapping[str, Exception], int], None] = lambda _failures, _decision: None
    """Is told of rules that raised, and by which decision they ran."""
    decision: int = 0
    fill: Callable[[Sequence[Arrival], Mapping[str, Window]], Awaitable[None]] | None = None
    """Fills into the windows what decisions want to be known of their users."""

    async def process(self, batch: Batch) -> None:
        """Bring a batch through steps 1 to 7; step 8, the acknowledgement, is the caller's on return."""
        after, partition = batch.laps.end, batch.partition
        after("wait")
        intake = after("decode", self._decode(batch))  # 1. validated; what is invalid is refused
        windows = self._load(partition, intake.arrivals)  # 2. from RocksDB
        if self.fill is not None:
            await self.fill(intake.arrivals, windows)
        after("load")
        scores = self._score(partition, intake.arrivals, windows)  # 3. no I/O; replayed ones are skipped
        output = after("score", _output(batch, intake, scores))
        stored = after("rows", await self._store_rows(output))  # 4. Postgres, one transaction
        reached = after("publish", await self.publisher.commit(output))  # 5. Kafka, one transaction
        self._keep_windows(output, reached)  # 6. RocksDB, one write
        after("windows")
        self.mirror.put(partition, scores.changed)  # 7. Redis, later
        after("mirror")
        self.count(_outcomes(batch, intake, scores, stored))

    def _decode(self, batch: Batch) -> Intake:
        records, values = batch.records, [record.value for record in batch.records]
        if None in values:
            records = [record for record in records if record.value is not None]
        intake = Intake(tombstones=len(values) - len(records))
        timestamps = [record.timestamp for record in records]
        found = self.decoder.decode_many(
            [value for value in values if value is not None], [record.key for record in records], timestamps
        )
        add, unknown = intake.arrivals.append, 0
        for record, timestamp, one in zip(records, timestamps, found, strict=True):
            if isinstance(one, Refused):
                intake.refusals.append(Refusal(record, one.reason, one.detail))
            else:
                unknown += one.unknown
                add(Arrival(record.offset, timestamp, one))
        intake.unknown_fields = unknown
        return intake

    def _load(self, partition: int, arrivals: Iterable[Arrival]) -> dict[str, Window]:
        # Sorted, as step 6 writes them in this order: RocksDB inserts sorted keys in half the time.
        return self.windows.load(partition, sorted({arrival.transaction.user_id for arrival in arrivals}))

    def _score(self, partition: int, arrivals: Sequence[Arrival], windows: Mapping[str, Window]) -> Scores:
        try:
            runs = self._runs(partition, arrivals) if self.scorer.asks_merchants else None
            scores = self.scorer.score(arrivals, windows, runs)
        except DetectorError as error:
            raise StopError(f"partition {partition}: {error}") from error
        self.observe(scores)
        if scores.rule_failures:
            self.see_to(scores.rule_failures, self.decision)
        return scores

    def _runs(self, partition: int, arrivals: Iterable[Arrival]) -> MerchantRuns:
        """What labels say of the batch's merchants."""
        merchants = {one for arrival in arrivals if (one := arrival.transaction.merchant_id)}
        return self.windows.runs(partition, merchants)

    async def _store_rows(self, output: Output) -> int:
        return await self.rows.write(output.partition, self.epoch, output.verdicts, output.next_offset)

    def _keep_windows(self, output: Output, changelog_offset: int | None) -> None:
        if changelog_offset is not None:
            self.windows.write(output.partition, output.changes, changelog_offset)


def _output(batch: Batch, intake: Intake, scores: Scores) -> Output:
    changes = [(user.encode(), encode_window(window)) for user, window in scores.changed.items()]
    return Output(batch.partition, batch.next_offset, scores.verdicts, intake.refusals, changes)


def _outcomes(batch: Batch, intake: Intake, scores: Scores, stored: int) -> Counter[str]:
    outcomes = Counter(f"refused_{refusal.reason}" for refusal in intake.refusals)
    first = scores.verdicts
    if scores.revisions:
        first = [verdict for verdict in first if not verdict.revision]
    outcomes["consumed"] = len(batch.records)
    outcomes["scored"] = len(first)
    outcomes["flagged"] = len([verdict for verdict in first if verdict.flag])
    outcomes["revision"] = scores.revisions
    outcomes["duplicate"] = scores.duplicates
    outcomes["replayed"] = scores.replayed
    outcomes["already_stored"] = len(first) - stored
    outcomes["window_dropped"] = scores.dropped
    outcomes["state_lost"] = scores.states_lost
    outcomes["tombstone"] = intake.tombstones
    outcomes["unknown_field"] = intake.unknown_fields
    return outcomes
