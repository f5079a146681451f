"""One partition, and the decisions that hold there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_app.state.decided.deciding import DECISIVE, Deciders, Deciding
from stream_app.state.decided.lists import Notes
from stream_app.state.decided.log import PROGRESS_KEY, Logged, Progress, step
from stream_app.state.decided.warming import PastFiller, PastRows, placed
from stream_app.state.rules import RULE_KEY, KnownRule


class AppliedRows(PastRows, Protocol):
    """Postgres. Raises LostPartitionError when the epoch is no longer ours."""

    async def note_applied(self, partition: int, epoch: int, seqs: Sequence[int], from_offset: int) -> None:
        """Keep from which offset of the source on these decisions hold."""


class NoteOutput(Protocol):
    """Kafka. Raises LostPartitionError when this producer was fenced."""

    async def apply(self, notes: Mapping[bytes, bytes | None]) -> int:
        """Write notes to the changelog, all or nothing; the offset of the last."""

    def name_rule(self, rule: str) -> None:
        """Have verdicts name this rule from now on."""


class NoteStore(Protocol):
    """RocksDB."""

    def note(self, partition: int, key: bytes) -> bytes | None:
        """What is kept under a key that is no user's."""

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Keep what the changelog has up to an offset."""


@dataclass(slots=True)
class DecidedPartition:
    """What was decided, as far as the partition has applied it."""

    partition: int
    epoch: int
    rows: AppliedRows
    output: NoteOutput
    store: NoteStore
    deciders: Deciders
    stored_up_to: int = 0
    """The source offset before which Postgres had all rows when the partition was taken over."""
    waiting: int = 0
    """How many decisions have arrived and are not applied yet."""
    applied: int = 0
    """How many it has applied."""
    progress: Progress = field(init=False)
    deciding: Deciding = field(init=False)
    filler: PastFiller = field(init=False)

    def __post_init__(self) -> None:
        teaches = self.deciders.by_settings.ensemble.teaches
        places = self.rows, self.output, self.store
        self.filler = PastFiller(self.partition, *places, teaches, self.stored_up_to)
        self.progress = Progress.decode(self._kept(PROGRESS_KEY))
        self._use(self.deciders.of(self._kept))

    async def apply(self, records: Sequence[Logged], from_offset: int) -> bool:
        """Have decisions hold from this offset of the source on; whether something else decides now.

        Raises:
            UnappliedError: One cannot be applied here: none of them is.
            LostPartitionError: Another owner has the partition.
        """
        taken = step(self.progress, records, self._kept)
        deciding = self._deciding(taken.notes)
        changed = deciding is not self.deciding
        notes = taken.notes | placed(taken.notes, from_offset) | (_named(deciding) if changed else {})
        if taken.decisions:
            seqs = [decision.seq for decision in taken.decisions]
            await self.rows.note_applied(self.partition, self.epoch, seqs, from_offset)
            offset = await self.output.apply(notes)
            self.store.write(self.partition, [*notes.items()], offset)
            self.filler.load()
            self.applied += len(seqs)
        self.progress = taken.progress
        if changed:
            self._use(deciding)
        return changed

    def _kept(self, key: bytes) -> bytes | None:
        return self.store.note(self.partition, key)

    def _deciding(self, notes: Notes) -> Deciding:
        """What decides once these are noted."""
        if DECISIVE.isdisjoint(notes):  # labels change what detectors know, and nothing of them
            return self.deciding
        return self.deciders.of(lambda key: notes[key] if key in notes else self._kept(key))

    def _use(self, deciding: Deciding) -> None:
        self.deciding = deciding
        self.output.name_rule(deciding.rule.rule)


def _named(deciding: Deciding) -> Notes:
    """The note of the rule that is run, which is compared with that of the next start."""
    return {RULE_KEY: KnownRule.of(deciding.rule).encode()}
