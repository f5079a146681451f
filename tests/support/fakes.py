"""Stand-ins for what the pipeline writes to, which can fail or be cut off between any two steps."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from schemas.transaction import Decoder, Transaction
from stream_app.batch import Batch, LostPartitionError, Output
from stream_app.detectors import verdict_names
from stream_app.pipeline import Pipeline
from stream_app.scoring import MerchantRuns, Scorer, Scores, Verdict
from stream_app.scoring.filling import Filling
from stream_app.state.merchants import known_runs
from stream_app.window import Window, decode_window, encode_window
from tests.support.detectors import rolling_scorer


class Crash(BaseException):
    """The process ends here: nothing after this point happens."""


@dataclass(slots=True)
class FakeRecord:
    """A record as consumed."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 1_800_000_000_000


@dataclass(slots=True)
class FakeRows:
    """Postgres: rows by id, date and user, the next offset and the epoch of the partition's owner."""

    reach: Callable[[str], None]
    stored: dict[tuple[str, datetime, str], bytes] = field(default_factory=dict)
    next_offset: int = 0
    epoch: int = 1
    applied: dict[int, int] = field(default_factory=dict)
    """By decision, the offset that it holds from."""

    async def note_applied(self, _partition: int, epoch: int, seqs: Sequence[int], from_offset: int) -> None:
        self.reach("decision in rows")
        assert epoch == self.epoch
        self.applied = dict.fromkeys(seqs, from_offset) | self.applied

    async def past(self, users: Sequence[str], since: datetime, begin: Callable[[], Filling]) -> Filling:
        self.reach("past")
        filling = begin()
        found = [msgspec.json.decode(row) for row in self.stored.values()]
        rows = [published(row) for row in found if row["user_id"] in users]
        rows.sort(key=lambda one: (one.user_id, one.txn_date, one.id))
        filling.add([one for one in rows if one.txn_date >= since])
        return filling

    async def write(self, _partition: int, epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        self.reach("rows")
        if epoch != self.epoch:
            raise LostPartitionError("another epoch")
        fresh = [verdict for verdict in verdicts if verdict.offset >= self.next_offset]
        self.next_offset = max(self.next_offset, next_offset)
        return sum(map(self._store, fresh))

    def _store(self, verdict: Verdict) -> bool:
        """Whether the row is a new one."""
        one = verdict.transaction
        key = (one.id, one.txn_date, one.user_id)
        if verdict.revision:
            self.stored.pop((one.id, verdict.moved_from or one.txn_date, one.user_id), None)
        is_new = not verdict.revision and key not in self.stored
        if is_new or verdict.revision:
            self.stored[key] = verdict.encoded()[0]
        return is_new


def published(row: dict[str, Any]) -> Transaction:
    """The transaction of a row."""
    amount = int(row["amount"].replace(".", ""))
    known = {**row, "amount": amount, "meta_data": None}
    return msgspec.convert(known, Transaction)


@dataclass(slots=True)
class FakeKafka:
    """Kafka: what was committed, the changelog and the group's offset among it."""

    reach: Callable[[str], None]
    scored: list[Verdict] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    changelog: list[tuple[bytes, bytes]] = field(default_factory=list)
    group_offset: int = 0
    rule: str = ""
    rules: list[str] = field(default_factory=list)
    """What each of the scored names."""

    is_fenced: bool = False

    def name_rule(self, rule: str) -> None:
        self.rule = rule

    def _check_owner(self) -> None:
        if self.is_fenced:
            raise LostPartitionError("fenced")

    async def apply(self, notes: Mapping[bytes, bytes | None]) -> int:
        self.reach("decision in kafka")
        self._check_owner()
        changes: Any = notes.items()
        self.changelog += changes
        return len(self.changelog) - 1

    async def commit(self, output: Output) -> int | None:
        self.reach("kafka")
        self._check_owner()
        self.scored += output.verdicts
        self.rules += [self.rule] * len(output.verdicts)
        self.refusals += [(refusal.record.offset, refusal.reason) for refusal in output.refusals]
        self.changelog += output.changes
        self.group_offset = output.next_offset
        return len(self.changelog) - 1 if output.changes else None


@dataclass(slots=True)
class FakeWindows:
    """RocksDB: encoded windows and the changelog offset that they stand at."""

    reach: Callable[[str], None]
    content: dict[bytes, bytes | None] = field(default_factory=dict)
    offset: int = -1

    def load(self, _partition: int, user_ids: Iterable[str]) -> dict[str, Window]:
        self.reach("load")
        return {user: self._window(user) for user in user_ids}

    def write(self, _partition: int, items: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
        self.reach("windows")
        self.content.update(items)
        self.offset = offset

    def note(self, _partition: int, key: bytes) -> bytes | None:
        return self.content.get(key)

    def windows(self, _partition: int) -> Iterator[tuple[str, Window]]:
        users = sorted(key.decode() for key in self.content if not key.startswith(b"\0"))
        return ((user, self._window(user)) for user in users)

    def runs(self, _partition: int, merchants: Collection[str]) -> MerchantRuns:
        return known_runs(merchants, lambda keys: [self.content.get(key) for key in keys])

    def lose(self) -> None:
        """Forget all, as another machine would know nothing."""
        self.content, self.offset = {}, -1

    def restore(self, changelog: Sequence[tuple[bytes, bytes]]) -> None:
        self.content.update(changelog[self.offset + 1 :])
        self.offset = len(changelog) - 1

    def _window(self, user: str) -> Window:
        data = self.content.get(user.encode())
        return Window() if data is None else decode_window(data)


@dataclass(slots=True)
class FakeMirror:
    """Redis: the newest window of each user."""

    reach: Callable[[str], None]
    windows: dict[str, bytes] = field(default_factory=dict)

    def put(self, _partition: int, windows: Mapping[str, Window]) -> None:
        self.reach("mirror")
        self.windows |= {user: encode_window(window) for user, window in windows.items()}


class World:
    """One partition of everything, of which an owner at a time makes a pipeline.

    `steps` lists what was reached; a step named in `crash_before` ends the process when it is reached.
    """

    def __init__(self, scorer: Scorer | None = None) -> None:
        self.scorer = scorer or rolling_scorer()
        self.steps: list[str] = []
        self.crash_before: str | None = None
        self.rows = FakeRows(self.reach)
        self.kafka = FakeKafka(self.reach)
        self.windows = FakeWindows(self.reach)
        self.mirror = FakeMirror(self.reach)
        self.counts: Counter[str] = Counter()
        self.observe: Callable[[Scores], None] = lambda _scores: None

    def reach(self, step: str) -> None:
        """Note a step, or crash before it."""
        if step == self.crash_before:
            raise Crash
        self.steps.append(step)

    def owner(self) -> Pipeline:
        """Take the partition over: a new epoch, windows restored from the changelog."""
        self.rows.epoch += 1
        self.windows.restore(self.kafka.changelog)
        return Pipeline(
            self.rows.epoch,
            self.kafka,
            decoder=Decoder(verdict_names=verdict_names()),
            scorer=self.scorer,
            windows=self.windows,
            rows=self.rows,
            mirror=self.mirror,
            count=self.counts.update,
            observe=self.observe,
        )

    async def crash(self, records: Sequence[FakeRecord], step: str, batch_size: int) -> None:
        """Own the partition up to a crash before this step; nothing where all records are finished."""
        self.crash_before = step
        if self.kafka.group_offset < len(records):
            with suppress(Crash):
                await self.run(records, batch_size=batch_size)
                raise AssertionError(f"{step} was never reached")
        self.crash_before = None

    async def run(self, records: Sequence[FakeRecord], *, batch_size: int = 7) -> None:
        """Own the partition from the group's offset to the end of the records."""
        pipeline = self.owner()
        while rest := records[self.kafka.group_offset :]:
            await pipeline.process(Batch(0, rest[:batch_size]))
