"""Step 5: everything that a batch puts into Kafka, in one transaction of the partition's own producer.

The `transactional.id` is the app's id and the partition: starting a producer under it fences the former
owner's and aborts what that one left open, and a transaction of the fenced one fails whole.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from aiokafka import TopicPartition, errors
from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.structs import OffsetAndMetadata

from infra.runtime.background import cancel
from infra.runtime.kafka import admin_client, committed_offsets
from infra.runtime.patience import KafkaSilentError, Patience
from infra.runtime.record_batches import LARGEST_BATCH, LZ4, UNCOMPRESSED, Message, batches
from infra.runtime.retry import causes
from infra.runtime.shared_client import ClientPool, SharedProducer
from schemas.dead_letter import Place, encode_dead_letter
from schemas.scored import RULE_HEADER, Header, moved_headers, source_headers
from stream_app.batch import Lost, LostPartitionError, Output, Refusal
from stream_app.scoring import Verdict
from stream_app.settings import Settings
from stream_app.state.changelog import KafkaMismatchError

T = TypeVar("T")

_STOP_SECONDS = 10

# The first produce of a transaction is tried again after this time while the broker still verifies it, which
# takes a millisecond or two; aiokafka's default is 100.
_RETRY_MS = 10

# Another owner's producer has ended the transaction, or its outcome is not known. Either way the partition
# has to be taken over again, by the worker that the group gives it to.
_FENCED = (
    IllegalOperation,  # of a producer that was found fenced while it was being filled
    errors.ProducerFenced,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.InvalidTxnState,
    errors.OutOfOrderSequenceNumber,
)
_UNKNOWN = (errors.KafkaConnectionError, errors.KafkaTimeoutError)

_NO_HEADERS: list[Header] = []
_METADATA = re.compile(r"(?:(-?\d+)|moved)(?: of (\d+))?", re.ASCII)

_Sent = asyncio.Future[Any]  # of aiokafka's RecordMetadata


class CommittedPosition(NamedTuple):
    """How far a partition's batches have come, by the offset that the last one committed with its output."""

    next_offset: int
    """The first source offset that is not finished."""
    changelog: int | None
    """An offset that the changelog is known to have, -1 before the first; see `_fill`.

    None for an offset that no batch has committed: it tells nothing of what was done before.
    """
    partitions: int | None = None
    """How many partitions the source had, where it is known."""

    @classmethod
    def of(cls, committed: OffsetAndMetadata) -> Self:
        """The position that a batch, or somebody else, has committed.

        >>> CommittedPosition.of(OffsetAndMetadata(7, "49 of 4"))
        CommittedPosition(next_offset=7, changelog=49, partitions=4)
        >>> CommittedPosition.of(OffsetAndMetadata(7, moved_metadata(6)))
        CommittedPosition(next_offset=7, changelog=None, partitions=6)
        >>> CommittedPosition.of(OffsetAndMetadata(7, "by hand"))
        CommittedPosition(next_offset=7, changelog=None, partitions=None)
        """
        match = _METADATA.fullmatch(committed.metadata)
        if match is None:
            return cls(committed.offset, None)
        return cls(committed.offset, *(None if one is None else int(one) for one in match.groups()))

    @property
    def finished(self) -> int:
        """The source offset before which batches have committed everything."""
        return 0 if self.changelog is None else self.next_offset


NOWHERE = CommittedPosition(0, None)


def moved_metadata(partitions: int) -> str:
    """The metadata of an offset that is not of a batch, but of what was moved to so many partitions."""
    return f"moved of {partitions}"


async def committed_positions(settings: Settings) -> dict[int, CommittedPosition]:
    """The group's position by partition, without those that it has none for.

    Raises:
        KafkaError: No broker can be reached, or the coordinator is still loading.
    """
    async with admin_client(settings, "positions") as admin:
        offsets = await committed_offsets(admin, settings.app_id, settings.transactions_topic)
    return {partition: CommittedPosition.of(one) for partition, one in offsets.items()}


class TransactionalOutput:
    """One partition's producer: entering the context fences the former owner's."""

    def __init__(self, partition: int, settings: Settings, clients: ClientPool, rule: str = "") -> None:
        self._partition = partition
        self._settings = settings
        self._clients = clients
        self._patience = settings.retry_seconds
        self._reached = -1
        self._partitions = 0
        self.name_rule(rule)
        self._producer: SharedProducer

    async def __aenter__(self) -> Self:
        self._producer = SharedProducer(
            await self._clients.client(self._partition),
            within=self._patience,
            transactional_id=f"{self._settings.app_id}-{self._partition}",
            max_request_size=2 * LARGEST_BATCH,
            retry_backoff_ms=_RETRY_MS,
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop in a bounded time: what hangs there is fenced by the next owner's producer."""
        try:
            await asyncio.wait_for(self._producer.stop(), _STOP_SECONDS)
        except (KafkaError, TimeoutError):  # a fenced producer raises its fencing again on the way out
            self._producer.abandon()

    def resume(self, changelog_offset: int | None, partitions: int) -> None:
        """Set how far the changelog reaches, and how many partitions the source has.

        A change that lands before it is in another changelog.
        """
        self._reached = -1 if changelog_offset is None else changelog_offset
        self._partitions = partitions

    def name_rule(self, rule: str) -> None:
        """Have verdicts name this rule from now on."""
        self._rule, self._headers = rule, self._headers_by(rule)

    async def put(self, key: bytes, value: bytes) -> int:
        """Write one record of the changelog that is not of a batch; its offset.

        Raises:
            KafkaError: It may not be there.
            KafkaSilentError: Kafka has not taken it for `retry_seconds`.
        """
        return await self._bounded("a note in the changelog", self._put([(key, value, _NO_HEADERS)]))

    async def apply(self, notes: Mapping[bytes, bytes | None]) -> int:
        """Write what decisions leave to the changelog, all or nothing; the offset of the last.

        Raises:
            LostPartitionError: Another owner's producer may have ended the transaction.
            KafkaSilentError: Kafka has not taken it for `retry_seconds`.
        """
        changes: list[Message] = [(key, value, _NO_HEADERS) for key, value in notes.items()]
        return await self._bounded("what was decided", self._or_lost(self._put(changes)))

    async def commit(self, output: Output) -> int | None:
        """Write the output and the source offset, all or nothing; returns the last change's offset.

        Raises:
            LostPartitionError: Another owner's producer may have ended the transaction.
            KafkaMismatchError: The last change's offset is not past the one before.
            KafkaSilentError: Kafka has not taken it for `retry_seconds`.
        """
        return await self._bounded("a batch's output", self._or_lost(self._commit(output)))

    async def _bounded(self, what: str, transaction: Coroutine[Any, Any, T]) -> T:
        # A task of its own: aiokafka never gives a transaction up, and waits for its end when cancelled, too.
        committing = asyncio.create_task(transaction)
        waits = Patience(f"partition {self._partition}: Kafka has not taken {what}", self._patience)
        try:
            while not (await asyncio.wait([committing], timeout=min(1, self._patience / 4)))[0]:
                gone = await self._producer.unknown_topics()
                waits.check(f", as there is no topic {', '.join(gone)}" if gone else "")
            return committing.result()
        except KafkaSilentError:
            self._producer.abandon()
            raise
        finally:
            if not committing.done():
                await cancel(committing)

    async def _put(self, changes: Sequence[Message]) -> int:
        async with self._producer.transaction():
            submitted = await self._submit(self._settings.changelog_topic, changes, UNCOMPRESSED)
            self._reached = max(self._reached, last := await _last_offset(submitted))
            return last

    async def _commit(self, output: Output) -> int | None:
        async with self._producer.transaction():
            return await self._fill(output)

    async def _or_lost(self, transaction: Coroutine[Any, Any, T]) -> T:
        try:
            return await transaction
        except (KafkaError, IllegalOperation) as error:
            if reason := next(filter(None, map(_lost, causes(error))), None):
                lost = f"partition {self._partition}: the transaction failed: {error!r}"
                raise LostPartitionError(lost, reason) from error
            raise

    async def _fill(self, output: Output) -> int | None:
        settings = self._settings
        flagged = [verdict for verdict in output.verdicts if verdict.flag is not None]
        changes: list[Message] = [(key, value, _NO_HEADERS) for key, value in output.changes]
        submitted = [
            *await self._submit(settings.scored_topic, self._scored(output.verdicts)),
            *await self._submit(settings.anomalies_topic, self._scored(flagged)),
            *await self._submit(settings.dlq_topic, map(self._refused, output.refusals)),
            # Windows are ids for the most part, which do not compress.
            *await self._submit(settings.changelog_topic, changes, UNCOMPRESSED),
        ]
        source = TopicPartition(settings.transactions_topic, self._partition)
        # The offset's metadata is an offset that the changelog has: of the batch before, or of this one where
        # there is none. A changelog that ends before it was recreated, and windows are lost.
        reached = self._reached
        if reached < 0 and output.changes:
            reached = await _last_offset(submitted)
        offset = OffsetAndMetadata(output.next_offset, self._metadata(reached))
        await self._producer.send_offsets_to_transaction({source: offset}, settings.app_id)
        # Wait for each batch: aiokafka commits a transaction also where one of its batches has failed.
        last = await _last_offset(submitted)
        if not output.changes:
            return None
        if last <= self._reached:
            raise KafkaMismatchError(
                f"partition {self._partition}: a change came to offset {last} of the changelog, which had "
                f"{self._reached} before: it was recreated under this worker"
            )
        self._reached = last
        return last

    def _metadata(self, reached: int) -> str:
        return f"{reached} of {self._partitions}" if self._partitions else str(reached)

    async def _submit(
        self, topic: str, messages: Iterable[Message], compression: int = LZ4
    ) -> list[tuple[_Sent, int]]:
        """Send messages to the topic's partition of our number; returns each batch's future and size."""
        submitted: list[tuple[_Sent, int]] = []
        if topic:
            for batch in batches([*messages], compression):
                sent = await self._producer.send_batch(batch, topic, partition=self._partition)
                sent.add_done_callback(_look_at)
                submitted.append((sent, batch.record_count()))
        return submitted

    def _scored(self, verdicts: Sequence[Verdict]) -> Iterator[Message]:
        headers, of_revision = self._headers, self._of_revision
        for verdict in verdicts:
            its = of_revision(verdict) if verdict.revision else headers(verdict.offset)
            yield verdict.transaction.user_id.encode(), verdict.encoded()[0], its

    def _of_revision(self, verdict: Verdict) -> list[Header]:
        """A revision's headers: the rule is that of the flag it repeats.

        The rule of a first verdict without a flag is not kept: there the present one is named.
        """
        rule = verdict.flag.rule if verdict.flag else ""
        moved = [] if verdict.moved_from is None else moved_headers(verdict.moved_from)
        return self._headers_by(rule or self._rule)(verdict.offset) + moved

    def _headers_by(self, rule: str) -> Callable[[int], list[Header]]:
        return source_headers(self._partition, *[(RULE_HEADER, rule.encode())] if rule else ())

    def _refused(self, refusal: Refusal) -> Message:
        record = refusal.record
        return encode_dead_letter(
            record.key,
            record.value or b"",
            reason=refusal.reason,
            detail=refusal.detail,
            topic=self._settings.transactions_topic,
            source=Place(self._partition, record.offset),
            source_ms=record.timestamp,
            partitions=self._partitions,
        )


async def _last_offset(submitted: Iterable[tuple[_Sent, int]]) -> int:
    """The offset of the last message, once every batch has arrived; -1 of none."""
    last = -1
    for sent, count in submitted:
        last = (await sent).offset + count - 1
    return last


def _lost(error: BaseException) -> Lost | None:
    if isinstance(error, _FENCED):
        return Lost.FENCED_BY_KAFKA
    is_unknown = isinstance(error, _UNKNOWN) or (isinstance(error, KafkaError) and error.retriable)
    return Lost.UNKNOWN_COMMIT if is_unknown else None


def _look_at(sent: _Sent) -> None:
    """Retrieve a failure: where several batches fail, only the first is raised, asyncio reports others."""
    if not sent.cancelled():
        sent.exception()
