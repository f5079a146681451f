"""One partition scored again by the worker's own pipeline, with each decision from its offset on."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from stream_app.batch import Batch, Output, Record
from stream_app.commands.replay.past import ReplayedPast
from stream_app.pipeline import Pipeline, Rows
from stream_app.scoring import MerchantRuns, Verdict
from stream_app.sinks.disabled import NoMirror
from stream_app.state.decided.deciding import Deciders
from stream_app.state.decided.log import Logged
from stream_app.state.decided.partition import DecidedPartition
from stream_app.window import Window


class Store(Protocol):
    """Windows and notes, as `stream_app.state.store.WindowStore` keeps them."""

    def load(self, partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        """A window for each user."""

    def runs(self, partition: int, merchants: Collection[str]) -> MerchantRuns:
        """What labels say of these merchants."""

    def note(self, partition: int, key: bytes) -> bytes | None:
        """What is kept under a key that is no user's."""

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put, or delete for None, by key."""


class ReplayedRows(Rows, Protocol):
    """Gets the verdicts."""

    decision: int
    """The newest that holds."""


class DueDecisions(NamedTuple):
    """Decisions that hold from an offset of the source on."""

    from_offset: int
    records: Sequence[Logged]


@dataclass(slots=True)
class PartitionReplay:
    """A partition that is scored from its beginning, with an empty store; `rows` gets the verdicts."""

    partition: int
    store: Store
    deciders: Deciders
    rows: ReplayedRows
    past: ReplayedPast
    counts: Counter[str] = field(default_factory=Counter)
    """As the worker counts what became of messages."""
    _decided: DecidedPartition = field(init=False)
    _pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        output = _Nowhere()
        self._decided = DecidedPartition(self.partition, 0, self.past, output, self.store, self.deciders)
        by = self._decided.deciding
        places = self.store, _RowsAndPast(self.rows, self.past), NoMirror()
        fill = self._decided.filler.before
        self._pipeline = Pipeline(0, output, by.decoder, by.scorer, *places, self.counts.update, fill=fill)

    async def run(
        self, source: AsyncIterator[Sequence[Record]], decisions: AsyncIterator[DueDecisions]
    ) -> AsyncGenerator[int, None]:
        """Score what the source brings; after each fetch the offset that comes next.

        Raises:
            StopError: A decision cannot be applied here, or a detector fails.
        """
        coming = await anext(decisions, None)
        async for records in source:
            rest = records
            while coming is not None and coming.from_offset <= records[-1].offset:
                await self._score([one for one in rest if one.offset < coming.from_offset])
                rest = [one for one in rest if one.offset >= coming.from_offset]
                await self._apply(coming)
                coming = await anext(decisions, None)
            await self._score(rest)
            yield records[-1].offset + 1

    async def _score(self, records: Sequence[Record]) -> None:
        if records:
            await self._pipeline.process(Batch(self.partition, records))

    async def _apply(self, applied: DueDecisions) -> None:
        if await self._decided.apply(applied.records, applied.from_offset):
            self._pipeline = self._decided.deciding.within(self._pipeline)
        self.rows.decision = self._decided.progress.seq


class _RowsAndPast(NamedTuple):
    """Both get the verdicts."""

    rows: Rows
    past: ReplayedPast

    async def write(self, partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """A batch."""
        self.past.add(verdicts)
        return await self.rows.write(partition, epoch, verdicts, next_offset)


class _Nowhere:
    """In place of Kafka: takes everything, and counts the offsets of a changelog."""

    def __init__(self) -> None:
        self._offset = 0

    def name_rule(self, rule: str) -> None:
        """No message names it."""

    async def apply(self, _notes: Mapping[bytes, bytes | None]) -> int:
        """Only the store keeps them."""
        self._offset += 1
        return self._offset

    async def commit(self, output: Output) -> int | None:
        """Only the store keeps the windows."""
        self._offset += 1
        return self._offset if output.changes else None
