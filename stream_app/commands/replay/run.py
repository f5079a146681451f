"""A replay put together: transactions from a source, the past and rows from Postgres, windows of its own."""

import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncpg
import msgspec

from infra.database import check_database, rights
from infra.runtime.cli_errors import StopError
from stream_app.batch import Record
from stream_app.commands.replay.differences import DIFFERENT, PartitionFindings
from stream_app.commands.replay.partition import PartitionReplay, ReplayedRows
from stream_app.commands.replay.past import ReplayedPast
from stream_app.commands.replay.rows import SEEN_PARTITION, ComparedRows, StoredTable
from stream_app.commands.replay.sources import ROW_RIGHTS, Arrivals, ArrivalSource, RowSource, TopicSource
from stream_app.commands.replay.timeline import Era, Repartition, Timeline
from stream_app.commands.window_moves import WindowMoves
from stream_app.settings import Settings
from stream_app.sinks.postgres import connect
from stream_app.state.decided.deciding import Deciding
from stream_app.state.store import WindowStore

_NEEDED = rights(
    (
        "transactions",
        "sink_offsets",
        "decisions",
        "decisions_applied",
        "settings_held",
        "repartitions",
    ),
    ("SELECT",),
)
_FILLED_SINCE = """
SELECT min((body ->> 'since')::timestamptz) FROM decisions JOIN decisions_applied USING (seq)
WHERE kind = 'warm' AND app_id = $1 AND topic = $2
"""
_OLDEST_MONTH = "SELECT date_trunc('month', min(txn_date), 'UTC') FROM transactions"
# A row is larger than its message was: it says what came of it.
_ROW_BYTES = 4 << 20
_MOVED_AT_ONCE = 5_000


class NothingToReplayError(StopError):
    """There is nothing to compare with."""


class ReplayRequest(NamedTuple):
    """What is to be scored again."""

    partitions: Collection[int] = ()
    """None named: all."""
    user: str = ""
    limit: int | None = None
    from_db: bool = False


class ReplaySink(ReplayedRows, Protocol):
    """Gets the verdicts of all partitions."""

    found: dict[int, PartitionFindings]
    compared: int
    """How many it has got."""

    def is_asked_for(self, partition: int) -> bool:
        """Whether it is to be told of."""

    def finish(self, *, whole: bool) -> None:
        """Settle what is open; `whole` says whether everything was scored."""


class Replayed(NamedTuple):
    """What came of scoring again, by partition, and what decides at the end."""

    found: Sequence[PartitionFindings]
    deciding: Deciding


class Report(msgspec.Struct):
    """What came of all partitions."""

    counts: Counter[str]
    partitions: Sequence[PartitionFindings]

    @property
    def differs(self) -> bool:
        """Whether a verdict is another than was given."""
        return self.counts[DIFFERENT] > 0


async def replay(
    settings: Settings, asked: ReplayRequest, tell: Callable[[int, int, int], None] = lambda *_: None
) -> Report:
    """Score again; `tell` gets partition, offset and end after each fetch.

    Raises:
        NothingToReplayError: Postgres has no rows of this app.
        KafkaMismatchError: The topic is not the one that the rows are of.
        StopError: A decision does not fit the settings, or a detector fails.
    """
    if not settings.has_sink("postgres"):
        raise NothingToReplayError("TXNWATCH_SINKS is without postgres: verdicts are compared with its rows")
    async with connect(settings.postgres.get_secret_value()) as pool:
        await check_database(pool, [*_NEEDED, *(ROW_RIGHTS if asked.from_db else [])])
        with fresh_windows(settings) as store:
            oldest = await pool.fetchval(_OLDEST_MONTH)
            of_asked = asked.user, asked.partitions, oldest
            rows = ComparedRows(StoredTable(pool), store, {}, *of_asked)
            found, _ = await _Replays(settings, asked, pool, store, rows, tell).all()
    return Report(sum((one.counts for one in found), Counter()), found)


async def score_rows(
    settings: Settings, rows: ReplaySink, store: WindowStore, tell: Callable[[int, int, int], None]
) -> Replayed:
    """Score the rows in Postgres again, and have `rows` get the verdicts."""
    async with connect(settings.postgres.get_secret_value()) as pool:
        await check_database(pool, [*_NEEDED, *ROW_RIGHTS])
        return await _Replays(settings, ReplayRequest(from_db=True), pool, store, rows, tell).all()


@contextmanager
def fresh_windows(settings: Settings) -> Iterator[WindowStore]:
    """A store in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="txnwatch-replay-") as folder:
        store = WindowStore(
            Path(folder),
            recent_bytes=settings.window_cache_bytes,
            cache_bytes=settings.block_cache_bytes,
            buffer_bytes=settings.write_buffer_bytes,
        )
        try:
            store.open(SEEN_PARTITION)
            yield store
        finally:
            for number in store.partitions:
                store.close(number)


@dataclass(slots=True)
class _Replays:
    settings: Settings
    asked: ReplayRequest
    pool: asyncpg.Pool
    store: WindowStore
    rows: ReplaySink
    tell: Callable[[int, int, int], None]
    timeline: Timeline = field(init=False)
    source: ArrivalSource = field(init=False)
    past: ReplayedPast = field(init=False)
    replays: dict[int, PartitionReplay] = field(default_factory=dict)
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        settings, from_db = self.settings, self.asked.from_db
        self.timeline = Timeline(self.pool, settings, _ROW_BYTES if from_db else None)
        self.source = RowSource(settings, self.asked.user) if from_db else TopicSource(settings)

    async def all(self) -> Replayed:
        async with self.resources:
            place = self.settings.app_id, self.settings.transactions_topic
            past = ReplayedPast(await self.pool.fetchval(_FILLED_SINCE, *place), self.store.folder)
            self.past = self.resources.enter_context(closing(past))
            eras = await self.timeline.eras()
            self._check(eras[-1])
            for era in eras:
                await self._through(era, alone=len(eras) == 1)
        self._settle()
        found = [one for number, one in sorted(self.rows.found.items()) if self.rows.is_asked_for(number)]
        newest = max(self.replays.values(), key=lambda one: one.seq)
        return Replayed(found, newest.deciding)

    async def _through(self, era: Era, *, alone: bool) -> None:
        """Score all that came in an era; `alone` where windows were never moved."""
        for partition in self._partitions(era, alone=alone):
            if self._left != 0:
                await self._stretch(partition, era)
            if alone:
                self._settle()
                self.store.discard(partition)
        if era.ended_by is not None:
            await self._go_on(era.ended_by)

    def _check(self, last: Era) -> None:
        asked = {*self.asked.partitions}
        if not any(last.ends.values()) or not asked <= {*last.ends}:
            which = f"partitions {sorted(asked)} of " if asked else ""
            app, topic = self.settings.app_id, self.settings.transactions_topic
            raise NothingToReplayError(f"Postgres has no rows of {which}{topic} by TXNWATCH_APP_ID={app}")

    def _partitions(self, era: Era, *, alone: bool) -> Sequence[int]:
        """Those of an era that are needed: windows may have come from any."""
        return sorted(self.asked.partitions if alone and self.asked.partitions else era.starts)

    @property
    def _left(self) -> int | None:
        """How many are still to be compared; None: all."""
        return None if self.asked.limit is None else max(0, self.asked.limit - self.rows.compared)

    @property
    def _at_a_time(self) -> int:
        left = self._left
        return self.settings.batch_size if left is None else min(self.settings.batch_size, left)

    def _settle(self) -> None:
        self.rows.finish(whole=self._left != 0)

    async def _stretch(self, partition: int, era: Era) -> None:
        """Score what came to a partition in an era."""
        start, end = era.starts[partition], era.ends[partition]
        replay = self.replays.get(partition) or await self._begun(partition, start)
        findings = self.rows.found[partition]
        findings.ends = end
        async with self.source.opened(partition, start, end, self._at_a_time) as arrivals:
            if findings.begins == start:
                findings.begins = arrivals.begins
            findings.gaps += filter(None, [arrivals.gap])
            source = self._asked_for(arrivals)
            async with aclosing(source), aclosing(replay.run(source)) as run:
                async for offset in run:
                    self.tell(partition, offset, end)
                    if self._left == 0:
                        break
        findings.decision = replay.seq

    async def _begun(self, partition: int, start: int) -> PartitionReplay:
        if partition not in self.store.partitions:
            self.store.open(partition)
        held = await self.timeline.held(partition, start)
        self.rows.found[partition] = PartitionFindings(partition, start, start, gaps=[*held.gaps])
        changes = self.timeline.changes(partition, held.due)
        await self.resources.enter_async_context(aclosing(changes))
        made = PartitionReplay(partition, self.store, held.deciders, self.rows, changes, self.past)
        self.replays[partition] = made
        return made

    async def _asked_for(self, arrivals: Arrivals) -> AsyncGenerator[Sequence[Record], None]:
        """All, or where one user is asked for only those that name it."""
        user = self.asked.user.encode()
        async with aclosing(arrivals.fetches) as fetches:
            async for records in fetches:
                if some := [one for one in records if not user or user in (one.value or b"").lower()]:
                    yield some

    async def _go_on(self, made: Repartition) -> None:
        """Bring windows to where they were brought, and with them what is not known of them."""
        before = [*self.replays]
        for replay in self.replays.values():
            await replay.fill_all()
        for number in made.begins.keys() - self.replays.keys():
            await self._begun(number, made.begins[number])
        moves = WindowMoves(self.store, made.partitioner, made.begins)
        places = (place for place in moves.places(before) if place[0] != place[1])
        while some := [*islice(places, _MOVED_AT_ONCE)]:
            for number, changes in moves.changes(some).items():
                self.store.write(number, changes, made.begins[number])
        open_ones = [gap for one in before for gap in self.rows.found[one].gaps if gap.end is None]
        for number, start in made.begins.items():
            gaps = [msgspec.structs.replace(gap, start=start) for gap in open_ones]
            self.rows.found[number].gaps += dict.fromkeys(gaps)
