"""A replay put together: the source from Kafka, decisions and rows from Postgres, windows of its own."""

import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec

from infra.database import check_database, rights
from infra.decisions.history import applied_after
from infra.runtime.cli_errors import StopError
from stream_app.batch import Record
from stream_app.commands.replay.differences import DIFFERENT, PartitionFindings
from stream_app.commands.replay.partition import DueDecisions, PartitionReplay
from stream_app.commands.replay.past import ReplayedPast
from stream_app.commands.replay.rows import ComparedRows, StoredTable
from stream_app.commands.replay.sources import ROW_RIGHTS, Arrivals, ArrivalSource, RowSource, TopicSource
from stream_app.settings import Settings
from stream_app.sinks.postgres import NEXT_OFFSETS, connect
from stream_app.state.decided.deciding import Deciders
from stream_app.state.store import WindowStore

_NEEDED = rights(("transactions", "sink_offsets", "decisions", "decisions_applied"), ("SELECT",))
_OLDEST_MONTH = "SELECT date_trunc('month', min(txn_date), 'UTC') FROM transactions"
_FILLED_SINCE = """
SELECT min((body ->> 'since')::timestamptz) FROM decisions JOIN decisions_applied USING (seq)
WHERE kind = 'warm' AND app_id = $1 AND topic = $2 AND partition = $3
"""
_AT_A_TIME = 500
# A row is larger than its message was: it says what came of it.
_ROW_BYTES = 4 << 20


class NothingToReplayError(StopError):
    """There is nothing to compare with."""


class ReplayRequest(NamedTuple):
    """What is to be scored again."""

    partitions: Collection[int] = ()
    """None named: all."""
    user: str = ""
    limit: int | None = None
    from_db: bool = False


class Report(msgspec.Struct):
    """What came of all partitions."""

    counts: Counter[str]
    partitions: Sequence[PartitionFindings]

    @property
    def differs(self) -> bool:
        """Whether a verdict is another than was given."""
        return self.counts[DIFFERENT] > 0


@dataclass(slots=True)
class _Record:
    """A decision as the control log has it."""

    partition: int
    offset: int
    value: bytes | None


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
    source: ArrivalSource = TopicSource(settings)
    if asked.from_db:
        source = RowSource(settings, asked.user)
        settings = settings.model_copy(update={"max_message_bytes": _ROW_BYTES})
    async with connect(settings.postgres.get_secret_value()) as pool:
        await check_database(pool, [*_NEEDED, *(ROW_RIGHTS if asked.from_db else [])])
        return await _Replays(settings, asked, source, pool, tell).all()


@dataclass(slots=True)
class _Replays:
    settings: Settings
    asked: ReplayRequest
    source: ArrivalSource
    pool: asyncpg.Pool
    tell: Callable[[int, int, int], None]
    oldest: datetime | None = None
    compared: int = 0

    async def all(self) -> Report:
        ends = await self._ends()
        self.oldest = await self.pool.fetchval(_OLDEST_MONTH)
        deciders, found = Deciders(self.settings), []
        for partition, end in ends.items():
            if self._left != 0:
                found.append(await self._partition(partition, end, deciders))
        return Report(sum((one.counts for one in found), Counter()), found)

    async def _ends(self) -> dict[int, int]:
        """By partition, the offset before which Postgres has all rows."""
        app, topic = self.settings.app_id, self.settings.transactions_topic
        known = dict(await self.pool.fetch(NEXT_OFFSETS, app, topic))
        chosen = sorted(self.asked.partitions or known)
        if not known or not {*chosen} <= {*known}:
            which = f"partitions {chosen} of " if chosen else ""
            raise NothingToReplayError(f"Postgres has no rows of {which}{topic} by TXNWATCH_APP_ID={app}")
        return {partition: known[partition] for partition in chosen}

    @property
    def _left(self) -> int | None:
        """How many are still to be compared; None: all."""
        return None if self.asked.limit is None else max(0, self.asked.limit - self.compared)

    async def _partition(self, partition: int, end: int, deciders: Deciders) -> PartitionFindings:
        since = await self.pool.fetchval(_FILLED_SINCE, *self._place(partition))
        async with self.source.opened(partition, end, self._at_a_time) as arrivals:
            findings = PartitionFindings(partition, arrivals.begins, end)
            findings.gaps += filter(None, [arrivals.gap])
            with tempfile.TemporaryDirectory(prefix="txnwatch-replay-") as folder:
                store, past = (
                    _store(self.settings, Path(folder), partition),
                    ReplayedPast(since, Path(folder)),
                )
                try:
                    rows = ComparedRows(StoredTable(self.pool), store, findings, self.asked.user, self.oldest)
                    await self._run(PartitionReplay(partition, store, deciders, rows, past), rows, arrivals)
                finally:
                    past.close()
                    store.close(partition)
        return findings

    def _place(self, partition: int) -> tuple[str, str, int]:
        return self.settings.app_id, self.settings.transactions_topic, partition

    @property
    def _at_a_time(self) -> int:
        left = self._left
        return self.settings.batch_size if left is None else min(self.settings.batch_size, left)

    async def _run(self, replay: PartitionReplay, rows: ComparedRows, arrivals: Arrivals) -> None:
        findings, before, reached = rows.findings, self.compared, False
        source, decisions = self._asked_for(arrivals), self._decisions(replay.partition)
        async with aclosing(source), aclosing(decisions), aclosing(replay.run(source, decisions)) as run:
            async for offset in run:
                self.compared = before + rows.compared
                self.tell(replay.partition, offset, findings.ends)
                if reached := self._left == 0:
                    break
        rows.finish(whole=not reached)
        findings.decision = rows.decision

    async def _asked_for(self, arrivals: Arrivals) -> AsyncGenerator[Sequence[Record], None]:
        """All, or where one user is asked for only those that name it."""
        user = self.asked.user.encode()
        async with aclosing(arrivals.fetches) as fetches:
            async for records in fetches:
                if some := [one for one in records if not user or user in (one.value or b"").lower()]:
                    yield some

    async def _decisions(self, partition: int) -> AsyncGenerator[DueDecisions, None]:
        """What the partition has applied, in its order."""
        place, seq = self._place(partition), 0
        while found := await applied_after(self.pool, place, seq, _AT_A_TIME):
            seq = found[-1].decision.seq
            for start, several in groupby(found, lambda one: one.from_offset):
                decisions = [one.decision for one in several]
                yield DueDecisions(start, [_Record(partition, one.seq, one.encode()) for one in decisions])


def _store(settings: Settings, folder: Path, partition: int) -> WindowStore:
    store = WindowStore(
        folder,
        recent_bytes=settings.window_cache_bytes,
        cache_bytes=settings.block_cache_bytes,
        buffer_bytes=settings.write_buffer_bytes,
    )
    store.open(partition)
    return store
