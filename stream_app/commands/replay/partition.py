"""One partition scored again by the worker's own pipeline, with each decision from its offset on."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol, TypeAlias

from stream_app.batch import Batch, Output, Record
from stream_app.commands.replay.past import ReplayedPast
from stream_app.pipeline import Pipeline, Rows
from stream_app.scoring import Arrival, MerchantRuns, Verdict
from stream_app.sinks.disabled import NoMirror
from stream_app.state.decided.deciding import Deciders, Deciding
from stream_app.state.decided.log import Logged
from stream_app.state.decided.partition import DecidedPartition
from stream_app.window import Window

_FILLED_AT_ONCE = 500


class Store(Protocol):
    """Windows and notes, as `stream_app.state.store.WindowStore` keeps them."""

    def load(self, partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        """A window for each user."""

    def runs(self, partition: int, merchants: Collection[str]) -> MerchantRuns:
        """What labels say of these merchants."""

    def note(self, partition: int, key: bytes) -> bytes | None:
        """What is kept under a key that is no user's."""

    def windows(self, partition: int) -> Iterator[tuple[str, Window]]:
        """Every user's window."""

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put, or delete for None, by key."""


class ReplayedRows(Rows, Protocol):
    """Gets the verdicts."""

    decision: int
    """The newest that the partition has applied."""
    window_size: int
    """Of the settings that hold."""


class DueDecisions(NamedTuple):
    """Decisions that hold from an offset of the source on."""

    from_offset: int
    records: Sequence[Logged]


class DueSettings(NamedTuple):
    """What the settings of a worker that began there make decide."""

    from_offset: int
    deciders: Deciders


Due: TypeAlias = DueDecisions | DueSettings


@dataclass(slots=True)
class PartitionReplay:
    """A partition that is scored from its beginning, with an empty store; `rows` gets the verdicts.

    `changes` are in the order of their offsets.
    """

    partition: int
    store: Store
    deciders: Deciders
    rows: ReplayedRows
    changes: AsyncIterator[Due]
    past: ReplayedPast
    counts: Counter[str] = field(default_factory=Counter)
    """As the worker counts what became of messages."""
    _output: "_Nowhere" = field(init=False)
    _decided: DecidedPartition = field(init=False)
    _pipeline: Pipeline = field(init=False)
    _coming: Due | None = None
    _has_begun: bool = False

    def __post_init__(self) -> None:
        self._output = _Nowhere()
        self._decided = self._decided_by(self.deciders)
        by = self._decided.deciding
        places = self.store, _RowsAndPast(self.rows, self.past), NoMirror()
        count, fill = self.counts.update, self._fill
        self._pipeline = Pipeline(0, self._output, by.decoder, by.scorer, *places, count, fill=fill)

    @property
    def seq(self) -> int:
        """The newest decision that was applied."""
        return self._decided.progress.seq

    @property
    def deciding(self) -> Deciding:
        """What decides by now."""
        return self._decided.deciding

    async def run(self, source: AsyncIterator[Sequence[Record]]) -> AsyncGenerator[int, None]:
        """Score what the source brings; after each fetch the offset that comes next.

        Raises:
            StopError: A decision cannot be applied here, or a detector fails.
        """
        if not self._has_begun:
            self._has_begun, self._coming = True, await anext(self.changes, None)
        async for records in source:
            rest = records
            while (coming := self._coming) is not None and coming.from_offset <= records[-1].offset:
                await self._score([one for one in rest if one.offset < coming.from_offset])
                rest = [one for one in rest if one.offset >= coming.from_offset]
                await self._change(coming)
                self._coming = await anext(self.changes, None)
            await self._score(rest)
            yield records[-1].offset + 1

    async def _score(self, records: Sequence[Record]) -> None:
        if records:
            self.rows.decision, self.rows.window_size = self.seq, self._decided.deciders.window_size
            await self._pipeline.process(Batch(self.partition, records))

    async def _change(self, due: Due) -> None:
        if isinstance(due, DueSettings):
            await self.fill_all()
            self._decided = self._decided_by(due.deciders)
        elif not await self._decided.apply(due.records, due.from_offset):
            return
        self._pipeline = self._decided.deciding.within(self._pipeline)

    def _decided_by(self, deciders: Deciders) -> DecidedPartition:
        """What was decided until now, as a worker finds it that starts."""
        return DecidedPartition(self.partition, 0, self.past, self._output, self.store, deciders)

    async def fill_all(self) -> None:
        """Fill what is to be filled of all users, as workers have before they end."""
        filler, windows = self._decided.filler, self.store.windows(self.partition)
        if filler.warmings:
            while some := dict(islice(windows, _FILLED_AT_ONCE)):
                await filler.fill(some)
            await filler.finish(filler.warmings[-1].seq)

    async def _fill(self, arrivals: Sequence[Arrival], windows: Mapping[str, Window]) -> None:
        await self._decided.filler.before(arrivals, windows)


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
