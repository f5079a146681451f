"""The worker's protections, each with a way to switch it off in a process under test.

A protection whose absence the oracle does not notice would be one that no fault run holds to account.
"""

import asyncio
import os
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.message_accumulator import BatchBuilder

from infra.runtime.shared_client import SharedProducer
from schemas.decision import Decision
from stream_app import app as composition
from stream_app import takeover
from stream_app.faust_adapter import consumer
from stream_app.ownership import Ownership
from stream_app.pipeline import Pipeline
from stream_app.sinks import kafka as kafka_sink
from stream_app.sinks.postgres import LOCK, PostgresRows
from stream_app.state import changelog
from stream_app.state.decided import partition as decided_partition
from stream_app.state.decided.log import Progress
from stream_app.state.owned import OwnedPartition
from stream_app.state.topics import KnownTopics
from stream_app.window import Window


def switch_off(protection: str) -> None:
    """Run without the protection of this name."""
    PROTECTIONS[protection]()


def replace(owner: ModuleType | type, name: str, by: Any) -> None:
    """Put something else in a name's place, which has to be there: a protection that moved is not off."""
    assert name in vars(owner), f"{owner.__name__} has no {name}"
    setattr(owner, name, by)


def _epoch() -> None:
    """Treat any epoch as ours."""

    async def lock(self: Any, connection: asyncpg.Connection, partition: int, _epoch: int) -> asyncpg.Record:
        return await connection.fetchrow(LOCK, self.app_id, self.topic, partition)

    _lock_first()
    replace(PostgresRows, "_lock", lock)


def _lock_first() -> None:
    """Store no batch in one statement, which would look at the partition's row by itself."""

    async def nothing(*_arguments: Any) -> None: ...

    replace(PostgresRows, "_merge_at_once", nothing)


def _next_offset() -> None:
    """Store rows again that are at or below the partition's stored offset."""
    locked = PostgresRows._lock  # noqa: SLF001 - switched off from inside

    async def lock(self: Any, connection: asyncpg.Connection, partition: int, epoch: int) -> dict[str, Any]:
        row = await locked(self, connection, partition, epoch)
        return {**row, "next_offset": 0}

    _lock_first()
    replace(PostgresRows, "_lock", lock)


def _fencing() -> None:
    """Give each process transactional ids of its own."""

    class Producer(SharedProducer):
        def __init__(self, *arguments: Any, transactional_id: str, **options: Any) -> None:
            super().__init__(*arguments, transactional_id=f"{transactional_id}-{os.getpid()}", **options)

    replace(kafka_sink, "SharedProducer", Producer)


def _committed_reads() -> None:
    """Restore from what was aborted too."""

    class Consumer(AIOKafkaConsumer):  # type: ignore[misc]
        def __init__(self, *, isolation_level: str, **options: Any) -> None:
            super().__init__(isolation_level=isolation_level.replace("committed", "uncommitted"), **options)

    replace(changelog, "AIOKafkaConsumer", Consumer)


def _rows_first() -> None:
    """Commit to Kafka before Postgres has the rows."""
    store, commit = Pipeline._store_rows, kafka_sink.TransactionalOutput.commit  # noqa: SLF001 - switched off from inside
    pending: dict[int, Any] = {}

    async def store_later(self: Any, output: Any) -> int:
        pending[output.partition] = self
        return len(output.verdicts)

    async def commit_first(self: Any, output: Any) -> int | None:
        offset = await commit(self, output)
        await store(pending.pop(output.partition), output)
        return offset

    replace(Pipeline, "_store_rows", store_later)
    replace(kafka_sink.TransactionalOutput, "commit", commit_first)


def _window_guard() -> None:
    """Score again what a window has learned from already."""
    load = Pipeline._load  # noqa: SLF001 - switched off from inside

    def load_unguarded(self: Any, *arguments: Any) -> Any:
        windows = load(self, *arguments)
        for window in windows.values():
            window.last_offset = -1
        return windows

    replace(Pipeline, "_load", load_unguarded)


def _known_ids() -> None:
    """Treat every id as a new one."""

    def find(_self: Window, _entry: bytes) -> int:
        return -1

    replace(Window, "find", find)


def _restoring() -> None:
    """Go on from whatever windows are there."""

    async def restore_nothing(*_arguments: Any, **_options: Any) -> int:
        return 0

    replace(takeover, "restore", restore_nothing)


def _topic_ids() -> None:
    """Take a topic for another of its name."""

    def others(_self: Any, _known: Any) -> list[str]:
        return []

    replace(KnownTopics, "_others", others)


def _reach() -> None:
    """Believe a changelog that is shorter than it once was, and whose id nobody knows."""
    _topic_ids()
    committed = vars(composition)["committed_positions"]

    async def unknown(*arguments: Any) -> dict[int, kafka_sink.CommittedPosition]:
        return {
            partition: one._replace(changelog=-1) for partition, one in (await committed(*arguments)).items()
        }

    replace(composition, "committed_positions", unknown)


def _source_reach() -> None:
    """Believe a source that is shorter than it once was, and whose id nobody knows."""
    _topic_ids()
    restore = vars(takeover)["restore"]

    async def believe(*arguments: Any, **options: Any) -> int:
        return int(await restore(*arguments, **{**options, "stored_up_to": 0}))

    replace(takeover, "restore", believe)


def _lost_rows() -> None:
    """Believe a Postgres that has fewer rows than it once had."""

    def check(_self: Any, _partition: int, _stored_offset: int) -> None: ...

    _lock_first()
    replace(PostgresRows, "_check_rows", check)


def _loud_gaps() -> None:
    """Go on from what is there when the group's offset, or what Postgres knows of it, is not in Kafka."""

    class Consumer(AIOKafkaConsumer):  # type: ignore[misc]
        def __init__(self, *, auto_offset_reset: str, **options: Any) -> None:
            super().__init__(auto_offset_reset=auto_offset_reset.replace("none", "earliest"), **options)

    def unknown(_self: Any, _partition: int) -> int:
        return 0

    replace(consumer, "AIOKafkaConsumer", Consumer)
    replace(Ownership, "stored_up_to", unknown)


def _arrival() -> None:
    """Commit a transaction whatever became of its batches."""

    async def last_offset(submitted: Any) -> int:
        results = await asyncio.gather(*(sent for sent, _ in submitted), return_exceptions=True)
        arrived = [one.offset for one in results if not isinstance(one, BaseException)]
        return max(arrived, default=-1)

    replace(kafka_sink, "_last_offset", last_offset)


def _hearing_of_rebalances() -> None:
    """Not a protection of ours: let a member that lost its partitions hear of it only when it asks."""
    beat, ask = GroupCoordinator._do_heartbeat, GroupCoordinator.request_rejoin  # noqa: SLF001 - switched off from inside
    asked: list[bool] = []

    async def heartbeat(self: Any) -> bool:
        return bool(await beat(self)) if asked else True

    def request_rejoin(self: Any) -> None:
        asked.append(True)
        ask(self)

    replace(GroupCoordinator, "_do_heartbeat", heartbeat)
    replace(GroupCoordinator, "request_rejoin", request_rejoin)


def _clock(seconds: float) -> Callable[[], None]:
    """Not a protection: a worker whose clock is off by so much."""

    def set_clock() -> None:
        true, append = time.time, BatchBuilder.append
        time.time = lambda: true() + seconds

        def append_by_clock(self: Any, *, timestamp: int | None, **parts: Any) -> Any:
            # aiokafka's compiled part asks the machine's clock itself.
            return append(
                self, timestamp=int(time.time() * 1000) if timestamp is None else timestamp, **parts
            )

        BatchBuilder.append = append_by_clock

    return set_clock


def _decisions_wait() -> None:
    """Apply decisions before what Postgres is ahead of Kafka was scored again."""
    replace(OwnedPartition, "is_replayed", property(lambda _: True))


def _noted_first() -> None:
    """Commit decisions to Kafka before Postgres says from where on they hold."""
    note, apply = PostgresRows.note_applied, kafka_sink.TransactionalOutput.apply
    pending: dict[int, Any] = {}

    async def note_later(self: Any, partition: int, *rest: Any) -> None:
        pending[partition] = (self, partition, *rest)

    async def commit_first(self: Any, notes: Any) -> int:
        offset = await apply(self, notes)
        await note(*pending.pop(self._partition))
        return offset

    replace(PostgresRows, "note_applied", note_later)
    replace(kafka_sink.TransactionalOutput, "apply", commit_first)


def _numbers() -> None:
    """Apply decisions again that a partition has."""
    step = vars(decided_partition)["step"]

    def step_again(since: Progress, records: Any, kept: Any) -> Any:
        first = Decision.decode(records[0].value).seq if records else since.seq + 1
        return step(msgspec.structs.replace(since, seq=first - 1), records, kept)

    replace(decided_partition, "step", step_again)


CLOCKS = {"clock ahead": _clock(400 * 86_400), "clock behind": _clock(-400 * 86_400)}
GAPS = "a stop where offsets are gone"
FORGETTING = "knowing how far Postgres had rows"
WAITING = "decisions' waiting for what Postgres has"
NOTED = "noting decisions before they hold"
NUMBERS = "the numbers of decisions"
FENCING = "fencing of producers"
DEAF = "hearing of rebalances"
PROTECTIONS: dict[str, Callable[[], None]] = {
    "epochs in Postgres": _epoch,
    "the stored offset's leaving rows out": _next_offset,
    FENCING: _fencing,
    "restoring what was committed alone": _committed_reads,
    "Postgres before Kafka": _rows_first,
    "the offset in each window": _window_guard,
    "the ids in each window": _known_ids,
    "restoring from the changelog": _restoring,
    "knowing how far the changelog reached": _reach,
    "knowing how far the source reached": _source_reach,
    FORGETTING: _lost_rows,
    GAPS: _loud_gaps,
    "seeing each batch arrive": _arrival,
    WAITING: _decisions_wait,
    NOTED: _noted_first,
    NUMBERS: _numbers,
    DEAF: _hearing_of_rebalances,
    **CLOCKS,
}
