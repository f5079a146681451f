"""What Postgres keeps of the past beside rows: decisions, settings and repartitions, with their offsets."""

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import asyncpg
import msgspec

from infra.decisions.history import applied_after
from infra.runtime.partitioners import Partitioner
from infra.runtime.settings import SettingsError
from schemas.rules.rule_set import RuleSetError
from stream_app.commands.replay.differences import Gap
from stream_app.commands.replay.partition import Due, DueDecisions, DueSettings
from stream_app.settings import Settings
from stream_app.sinks.postgres import NEXT_OFFSETS
from stream_app.state.decided.deciding import Deciders
from stream_app.state.verdict_settings import VerdictSettings

_SETTINGS = """
SELECT from_offset, rows_to, settings::text AS settings FROM settings_held
WHERE app_id = $1 AND topic = $2 AND partition = $3 ORDER BY from_offset
"""
_REPARTITIONS = """
SELECT partitions, partitioner, finished, begins FROM repartitions
WHERE app_id = $1 AND topic = $2 AND done ORDER BY partitions
"""
_AT_A_TIME = 500
_UNKNOWN = "settings were not kept yet, and may have been others than the first that were"
_UNCERTAIN = "rows may be by the settings before, as Postgres was ahead of Kafka when those changed"
_ANOTHER = "rule {} of the settings that held then comes to rule {} in this version of the program"
_READ = msgspec.json.Decoder(VerdictSettings).decode


class Repartition(NamedTuple):
    """How partitions became more."""

    partitioner: Partitioner
    begins: Mapping[int, int]
    """From which offset on each goes on."""


class Era(NamedTuple):
    """A time with one number of partitions: where each was scored from and to, and what ended it."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]
    ended_by: Repartition | None = None


class HeldSettings(NamedTuple):
    """What decided by settings in a partition: at first, from offsets on, and where it is not known."""

    deciders: Deciders
    due: Sequence[DueSettings]
    gaps: Sequence[Gap]


@dataclass(slots=True)
class _Record:
    """A decision as the control log has it."""

    partition: int
    offset: int
    value: bytes | None


@dataclass(slots=True)
class Timeline:
    """What there is of an app's partitions of a topic."""

    pool: asyncpg.Pool
    settings: Settings
    """In place of those that were not kept, and for what has nothing to do with verdicts."""
    most_bytes: int | None = None
    """Of a message, whatever the settings say."""
    _made: dict[str, Deciders] = field(default_factory=dict)

    @property
    def _place(self) -> tuple[str, str]:
        return self.settings.app_id, self.settings.transactions_topic

    async def eras(self) -> list[Era]:
        """From the first on; the last ends where Postgres had rows up to."""
        known = dict(await self.pool.fetch(NEXT_OFFSETS, *self._place))
        eras, starts = list[Era](), dict.fromkeys(known, 0)
        for row in await self.pool.fetch(_REPARTITIONS, *self._place):
            ends, begins = dict(enumerate(row["finished"])), dict(enumerate(row["begins"]))
            move = Repartition(Partitioner(row["partitioner"], row["partitions"]), begins)
            eras.append(Era({number: starts.get(number, 0) for number in ends}, ends, move))
            starts = begins
        ends = {number: max(known.get(number, 0), start) for number, start in starts.items()}
        return [*eras, Era(starts, ends)]

    async def held(self, partition: int, start: int) -> HeldSettings:
        """The settings that held in a partition that was scored from an offset on."""
        rows = await self.pool.fetch(_SETTINGS, *self._place, partition)
        due = [DueSettings(row["from_offset"], self._deciders(row["settings"])) for row in rows]
        first = due[0].deciders if due else self._deciders("")
        known_from = max(due[0].from_offset, start) if due else None
        gaps = [Gap(start, _UNKNOWN, known_from, spreads=True)]
        for at, row in enumerate(rows):
            gaps.append(Gap(row["from_offset"], _UNCERTAIN, row["rows_to"]))
            end = rows[at + 1]["from_offset"] if at + 1 < len(rows) else None
            now, then = due[at].deciders.by_settings.rule.rule, _READ(row["settings"]).rule
            if now != then:
                gaps.append(Gap(row["from_offset"], _ANOTHER.format(then, now), end, spreads=True))
        return HeldSettings(first, due, [gap for gap in gaps if gap.end != gap.start])

    def _deciders(self, text: str) -> Deciders:
        """What decides by these settings, or by those of the environment where they were not kept."""
        if (found := self._made.get(text)) is None:
            held = _READ(text) if text else None
            found = self._made[text] = self._make(held)
        return found

    def _make(self, held: VerdictSettings | None) -> Deciders:
        try:
            return Deciders(self.settings, held, self.most_bytes)
        except (SettingsError, RuleSetError):
            if held is None:
                raise
            return Deciders(self.settings, most_bytes=self.most_bytes)  # it is seen by the rule

    async def changes(self, partition: int, held: Sequence[DueSettings]) -> AsyncGenerator[Due, None]:
        """What changed, in its order: settings come first, as a worker starts before it applies anything."""
        left = deque(held)
        async for due in self._decisions(partition):
            while left and left[0].from_offset <= due.from_offset:
                yield left.popleft()
            yield due
        for one in left:
            yield one

    async def _decisions(self, partition: int) -> AsyncGenerator[DueDecisions, None]:
        """What the partition has applied, in its order."""
        seq = 0
        while found := await applied_after(self.pool, (*self._place, partition), seq, _AT_A_TIME):
            seq = found[-1].decision.seq
            for start, several in groupby(found, lambda one: one.from_offset):
                decisions = [one.decision for one in several]
                yield DueDecisions(start, [_Record(partition, one.seq, one.encode()) for one in decisions])
