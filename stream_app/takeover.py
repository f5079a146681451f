"""One partition taken over, in the order that keeps a former owner's writes out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from infra.runtime.background import cancel
from infra.runtime.shared_client import ClientPool
from schemas.rule import Rule
from stream_app.batch import Lost
from stream_app.pipeline import Pipeline, Publisher
from stream_app.settings import Settings
from stream_app.sinks.disabled import NoMirror, NoRows
from stream_app.sinks.kafka import NOWHERE, CommittedPosition, TransactionalOutput
from stream_app.sinks.postgres import PostgresRows
from stream_app.sinks.redis_mirror import RedisMirror
from stream_app.state.changelog import restore
from stream_app.state.decided.deciding import Deciders, Deciding
from stream_app.state.decided.feed import ControlFeed
from stream_app.state.decided.partition import DecidedPartition
from stream_app.state.owned import OwnedPartition
from stream_app.state.rules import RULE_KEY, KnownRule
from stream_app.state.store import WindowStore, identity_of, is_damage
from stream_app.state.topics import TOPICS_KEY, KnownTopics

log = logging.getLogger(__name__)

# Each has a consumer of its own, with a connection or two: 200 partitions at once exhausted the file limit.
_RESTORED_AT_ONCE = 8
_RULE_CHANGED = (
    "the rule has changed: %s (rule %s -> %s). Users' windows stay, and are judged by it from now on"
)


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Takes partitions over, one at a time or several side by side."""

    settings: Settings
    store: WindowStore
    rows: PostgresRows | NoRows
    mirror: RedisMirror | NoMirror
    deciders: Deciders
    feed: ControlFeed
    clients: ClientPool
    positions: Callable[[], Awaitable[Mapping[int, CommittedPosition]]]
    make_pipeline: Callable[[int, Publisher, Deciding], Pipeline]
    rejoin: Callable[[Lost], None]
    fail: Callable[[Exception], Awaitable[None]]
    """Ends the worker with this error."""
    tell: Callable[[float], None] = lambda _seconds: None
    """Is told how long a take-over took."""
    restoring: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_RESTORED_AT_ONCE))
    _said: set[str] = field(default_factory=set, init=False)
    """The former rules that the log says of that they were others."""

    async def open(self, partition: int, topics: KnownTopics) -> OwnedPartition:
        """Take a partition over from whoever had it; on failure everything is closed again.

        Raises:
            ChangedTopicsError: Its windows and offsets belong to other topics than these.
            WrongWindowsError: The local windows are not those of the changelog.
        """
        async with AsyncExitStack() as resources:
            # 1. Raise the epoch: Postgres refuses the former owner's rows. This comes before the producer:
            #    the other way round, of two owners at once, the one with the fenced producer could get the
            #    epoch and store rows scored on windows that lack the other's last transaction (decision 11).
            epoch, stored_up_to, known = await self.rows.take_over(partition)
            topics = topics.after(_decoded(known))
            # 2. Start the transactional producer, which fences the former owner and aborts what it left open:
            #    from here on nobody else commits, so the offsets and the changelog stand still.
            output = TransactionalOutput(partition, self.settings, self.clients)
            publisher = await resources.enter_async_context(output)
            # 3. See how far batches were finished; Postgres has to have their rows.
            position = await self._position(partition, topics)
            end_if_cancelled()
            self.rows.expect(partition, position.finished)
            # 4. Restore the windows to the changelog's end.
            resources.callback(self.store.close, partition)
            reached = -1 if position.changelog is None else position.changelog
            identity = self._identity(partition, topics)
            restored = await self._restore(partition, identity, stored_up_to=stored_up_to, reached=reached)
            end_if_cancelled()
            places = self.rows, publisher, self.store, self.deciders
            decided = DecidedPartition(partition, epoch, *places, stored_up_to)
            await self._remember(partition, topics, publisher, decided.deciding.rule)
            publisher.resume(self.store.changelog_offset(partition), topics.partitions)
            # 5. Process and mirror. The consumer goes to the committed offset once all partitions are open.
            pipeline = self._pipeline(decided, publisher)
            at = position.next_offset
            owned = OwnedPartition(partition, pipeline, decided, at, stored_up_to, self.store, self.rejoin)
            await self._catch_up(owned)
            self._follow(owned, resources)
            owned.resources = resources.pop_all()
        log.info("partition %d: taken over, %d changes restored", partition, restored)
        return owned

    def _pipeline(self, decided: DecidedPartition, publisher: Publisher) -> Pipeline:
        pipeline = self.make_pipeline(decided.epoch, publisher, decided.deciding)
        return replace(pipeline, fill=decided.filler.before)

    async def _position(self, partition: int, topics: KnownTopics) -> CommittedPosition:
        positions = await self.positions()
        for one in positions.values():  # of a partition that is new, only the others' offsets tell
            topics.check_partitions(one.partitions)
        return positions.get(partition, NOWHERE)

    async def _restore(self, partition: int, identity: str, **known: int) -> int:
        """Open the windows and bring them to the changelog's end, from its beginning if they are damaged."""
        async with self.restoring:
            try:
                await self._opened(partition, identity)
                return await restore(self.store, partition, self.settings, **known)
            except Exception as error:
                if not is_damage(error):
                    raise
                log.warning("partition %d: restoring all windows, as they are damaged: %s", partition, error)
            self.store.discard(partition)
            await self._opened(partition, identity)
            return await restore(self.store, partition, self.settings, **known)

    async def _opened(self, partition: int, identity: str) -> None:
        """Open the windows in a thread: it waits for the disk several times, 65 ms on a busy one."""
        opening = asyncio.create_task(asyncio.to_thread(self.store.open, partition, identity))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # to be closed then; a thread cannot be cancelled
            raise

    def _identity(self, partition: int, topics: KnownTopics) -> str:
        changelog = self.settings.changelog_topic
        return identity_of(topics.cluster, changelog, topics.ids.get(changelog, ""), partition)

    def _follow(self, owned: OwnedPartition, resources: AsyncExitStack) -> None:
        """Mirror its windows, apply decisions as they come, and fill what they want, until it is closed."""
        resources.callback(self.mirror.detach, owned.partition)
        for work in (self._follow_windows(owned), self._follow_decisions(owned), self._fill(owned)):
            resources.push_async_callback(cancel, asyncio.create_task(work))

    async def _catch_up(self, owned: OwnedPartition) -> None:
        """Apply what was decided until now; all of it later, where Postgres is ahead of Kafka."""
        epoch, settings = owned.decided.epoch, self.deciders.held.encode()
        await self.rows.hold(owned.partition, epoch, settings, owned.next_offset)
        await self.feed.begin(owned.partition, owned.decided.progress)
        if owned.is_replayed:
            async with aclosing(self.feed.present(owned.partition)) as fetches:
                await owned.apply_all(fetches)

    async def _remember(
        self, partition: int, topics: KnownTopics, publisher: TransactionalOutput, rule: Rule
    ) -> None:
        """Have changelog, windows and Postgres say what they belong to, where they do not yet."""
        known = self.store.note(partition, TOPICS_KEY)
        encoded = topics.after(_decoded(known)).encode()
        if known != encoded:
            await self._note(partition, TOPICS_KEY, encoded, publisher)
        await self.rows.remember(partition, encoded)
        await self._compare_rule(partition, publisher, KnownRule.of(rule))

    async def _compare_rule(self, partition: int, publisher: TransactionalOutput, now: KnownRule) -> None:
        """Say what has changed of the rule since the partition was last scored, and have the new one kept."""
        former = KnownRule.decode(self.store.note(partition, RULE_KEY))
        if former is not None and former.rule == now.rule:
            return
        if former is not None and former.rule not in self._said:
            self._said.add(former.rule)
            log.warning(_RULE_CHANGED, now.changes(former), former.rule, now.rule)
        await self._note(partition, RULE_KEY, now.encode(), publisher)

    async def _note(self, partition: int, key: bytes, value: bytes, publisher: TransactionalOutput) -> None:
        """Write to the changelog and the windows what is no user's."""
        offset = await publisher.put(key, value)
        self.store.write(partition, [(key, value)], offset)

    async def _follow_decisions(self, owned: OwnedPartition) -> None:
        try:
            await owned.follow(self.feed)
        except Exception as error:  # noqa: BLE001 - whatever it is, without decisions nothing may be scored
            await self.fail(error)

    async def _fill(self, owned: OwnedPartition) -> None:
        try:
            await owned.fill()
        except Exception as error:  # noqa: BLE001 - what does not have the partition taken over ends the worker
            try:
                owned.give_up(error)
            except Exception as lasting:  # noqa: BLE001
                await self.fail(lasting)

    async def _follow_windows(self, owned: OwnedPartition) -> None:
        """Mirror the partition's windows; as each is read once, damage may be seen here first."""
        partition = owned.partition
        try:
            await self.mirror.follow(partition, partial(self.store.windows, partition))
        except Exception as error:
            if is_damage(error):
                owned.request_restore(error)
            else:
                log.exception("Redis mirror: partition %d is left out until its next take-over", partition)


def _decoded(topics: bytes | None) -> KnownTopics | None:
    return KnownTopics.decode(topics) if topics else None


def end_if_cancelled() -> None:
    """Raise the cancellation of this task that a client of aiokafka has swallowed while it closed."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
