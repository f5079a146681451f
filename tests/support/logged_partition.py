"""A partition and its control log, without Kafka and Postgres."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from schemas.decision import RULES, Decision
from stream_app.batch import Batch
from stream_app.settings import Settings
from stream_app.state.decided.deciding import Deciders
from stream_app.state.decided.partition import DecidedPartition
from stream_app.state.owned import OwnedPartition
from tests.support.fakes import Crash, FakeRecord, World

STEPS = ["load", "rows", "kafka", "windows", "mirror", "decision in rows", "decision in kafka"]
"""Before each of which a process can die."""
DECIDERS = Deciders(Settings(_env_file=None))


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the control log."""

    offset: int
    value: bytes | None
    partition: int = 0


@dataclass(slots=True)
class LoggedPartition:
    """One partition, and a control log."""

    world: World = field(default_factory=World)
    log: list[Logged] = field(default_factory=list)
    deciders: Deciders = field(default_factory=lambda: Deciders(Settings(_env_file=None)))
    """Of its own: they know lists by the numbers of decisions, which other logs give to other lists."""

    def decide(self, body: dict[str, Any], kind: str = RULES) -> None:
        """Add a decision to the log."""
        seq = len(self.log) + 1
        decision = Decision(seq, kind, body, "ann", "", datetime(2026, 4, 1, tzinfo=UTC))
        self.log.append(Logged(2 * seq, decision.encode()))  # every second offset is a marker's

    async def owner(self) -> OwnedPartition:
        """Take the partition over, and apply what waits."""
        world = self.world
        pipeline = world.owner()
        reached = world.kafka.group_offset, world.rows.next_offset
        places = world.rows, world.kafka, world.windows, self.deciders
        decided = DecidedPartition(0, world.rows.epoch, *places, reached[1])
        pipeline = replace(decided.deciding.within(pipeline), fill=decided.filler.before)
        store: Any = world.windows
        owned = OwnedPartition(0, pipeline, decided, *reached, store, lambda _reason: None)
        await self.deliver(owned)
        return owned

    async def deliver(self, owned: OwnedPartition) -> None:
        """Hand over what comes next of the log, once it may be applied."""
        waiting = [one for one in self.log if one.offset >= owned.decided.progress.next_offset]
        if waiting and owned.is_replayed:
            await owned.decide(waiting)

    async def run(self, records: Sequence[FakeRecord], batch_size: int) -> None:
        """Own the partition to the end of the records."""
        owned = await self.owner()
        while rest := records[self.world.kafka.group_offset :]:
            await owned.process(Batch(0, rest[:batch_size]))
            await self.deliver(owned)
            await self.fill_some(owned)

    async def fill_some(self, owned: OwnedPartition) -> None:
        """Fill every second user who is to be filled, or be done with it where there is none."""
        filler, windows = owned.decided.filler, self.world.windows
        if filler.warmings and owned.is_replayed:
            lacking = [user for user, window in windows.windows(0) if filler.lacks(window)]
            if lacking and owned.next_offset < filler.warmings[-1].from_offset + 40:
                await filler.fill(windows.load(0, lacking[::2]))
            else:
                await filler.fill(windows.load(0, lacking))
                await filler.finish(filler.warmings[-1].seq)

    async def crash(self, records: Sequence[FakeRecord], step: str, batch_size: int) -> None:
        """Own it up to a crash before this step, or to the end where that is not reached."""
        self.world.crash_before = step
        with suppress(Crash):
            await self.run(records, batch_size)
        self.world.crash_before = None
