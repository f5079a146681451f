"""What becomes of records, in one Kafka transaction with the offsets that the group has reached by it."""

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from infra.ingest.converting import Converted
from infra.ingest.settings import Settings
from infra.runtime.background import cancel
from infra.runtime.group_transactions import GroupMember, Offsets, send_offsets
from infra.runtime.patience import KafkaSilentError
from infra.runtime.record_batches import LARGEST_BATCH, LZ4, Message, batches
from infra.runtime.shared_client import ClientPool, SharedProducer

# What a process that was killed leaves open is ended by whoever takes its partitions over. This is for one
# that nobody takes over from: readers of the input topic wait behind it for so long.
_OPEN_MS = 10_000
_RETRY_MS = 10
_STOP_SECONDS = 10


class IngestOutput:
    """A transactional producer of its own for what a set of partitions becomes.

    Its `transactional.id` is the group and the first of these partitions; the ids that the others would have
    given are fenced, too: whoever had one of them last, and was killed, has its transaction ended by that.
    """

    def __init__(self, settings: Settings, clients: ClientPool) -> None:
        self._settings = settings
        self._clients = clients
        self._producer: SharedProducer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if (producer := self._producer) is not None:
            self._producer = None
            await _stop(producer)

    async def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Be the only one who writes what these partitions become.

        Raises:
            KafkaError: Kafka does not answer.
        """
        await self.__aexit__()
        started = await asyncio.gather(*map(self._started, range(len(partitions)), sorted(partitions)))
        self._producer = started[0] if started else None
        await asyncio.gather(*map(_stop, started[1:]))

    async def _started(self, number: int, first: TopicPartition) -> SharedProducer:
        producer = SharedProducer(
            await self._clients.client(number),
            within=self._settings.retry_seconds,
            transactional_id=f"{self._settings.group}-{first.topic}-{first.partition}",
            transaction_timeout_ms=_OPEN_MS,
            max_request_size=2 * LARGEST_BATCH,
            retry_backoff_ms=_RETRY_MS,
        )
        await producer.start()
        return producer

    async def commit(self, converted: Converted, offsets: Offsets, member: GroupMember) -> None:
        """Write it, and move the group on, all or nothing.

        Raises:
            LostMemberError: The partitions are somebody else's.
            KafkaSilentError: Kafka has not taken it for `retry_seconds`.
            KafkaError: It is not written, or it is not known whether it is.
        """
        assert self._producer is not None  # noqa: S101 - there is something of a partition
        transaction = _commit(self._producer, self._settings, converted, offsets, member)
        await self._bounded(self._producer, transaction)

    async def _bounded(self, producer: SharedProducer, transaction: Coroutine[Any, Any, None]) -> None:
        # A task of its own: aiokafka never gives a transaction up, and waits for its end when cancelled, too.
        committing = asyncio.create_task(transaction)
        try:
            if not (await asyncio.wait([committing], timeout=self._settings.retry_seconds))[0]:
                producer.abandon()
                raise KafkaSilentError(
                    f"Kafka has not taken transactions for {self._settings.retry_seconds:g} s "
                    "(TXNWATCH_RETRY_SECONDS)"
                )
            committing.result()
        finally:
            if not committing.done():
                await cancel(committing)


async def _commit(
    producer: SharedProducer, settings: Settings, converted: Converted, offsets: Offsets, member: GroupMember
) -> None:
    async with producer.transaction():
        sent = [
            *await _submit(producer, settings.transactions_topic, converted.transactions.items()),
            *await _submit(producer, settings.dlq_topic, converted.letters.items()),
        ]
        await send_offsets(producer, offsets, member)
        for one in sent:  # aiokafka commits a transaction also where one of its batches has failed
            await one


async def _submit(
    producer: SharedProducer, topic: str, parts: Iterable[tuple[int, list[Message]]]
) -> list[asyncio.Future[Any]]:
    sent = []
    for partition, messages in parts:
        for batch in batches(messages, LZ4):
            future = await producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(_look_at)
            sent.append(future)
    return sent


def _look_at(sent: asyncio.Future[Any]) -> None:
    """Retrieve a failure: where several batches fail, only the first is raised, asyncio reports others."""
    if not sent.cancelled():
        sent.exception()


async def _stop(producer: SharedProducer) -> None:
    """Stop it in a bounded time: what hangs there is fenced by whoever takes over."""
    try:
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS)
    except (KafkaError, TimeoutError):
        producer.abandon()
