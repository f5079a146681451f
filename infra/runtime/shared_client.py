"""Producers that share connections to Kafka.

A producer of aiokafka has a client of its own: two or three connections and tasks each, and a worker has a
transactional producer for each partition. A client knows nothing of who sends over it, so a few serve all.
"""

# ruff: noqa: SLF001 - of aiokafka, as infra.runtime.aiokafka_changes says

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import ProducerClosed

from infra.runtime.kafka import ClientSettings, client_options
from infra.runtime.patience import KafkaSilentError

# A broker answers a connection's requests one after the other, so that partitions of one client wait for each
# other's; up to so many have one each.
_CLIENTS = 8
_LOOK_SECONDS = 2


class ClientPool:
    """A few clients of Kafka, each connected once it is needed."""

    def __init__(self, settings: ClientSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._clients: dict[int, AIOKafkaClient] = {}
        self._one_at_a_time = asyncio.Lock()

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._clients)

    async def client(self, number: int) -> AIOKafkaClient:
        """The client for whoever has this number, connected.

        Raises:
            KafkaError: No broker can be reached.
        """
        which = number % _CLIENTS
        async with self._one_at_a_time:
            if which not in self._clients:
                options = client_options(self._settings, f"{self._name}-{which}")
                client = AIOKafkaClient(**options, retry_backoff_ms=10)
                await client.bootstrap()
                self._clients[which] = client
        return self._clients[which]

    async def close(self) -> None:
        """Close the connections. Those who use them have stopped."""
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(client.close() for client in clients.values()))


class SharedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """A producer over a client that is connected, and that outlives it."""

    def __init__(self, client: AIOKafkaClient, *, within: float, **options: Any) -> None:
        super().__init__(**options)
        self._within = within
        self.client: AIOKafkaClient
        self._unused = self.client  # connects to nothing, as its `bootstrap` is not called
        self.client = self._sender.client = client
        self._metadata = self._message_accumulator._cluster = client.cluster

    async def start(self) -> None:
        """Get the producer's id, which fences the former one of its `transactional_id`.

        Raises:
            KafkaSilentError: It has not got one for `within` seconds.
        """
        try:
            await asyncio.wait_for(self._sender.start(), self._within)
        except BaseException as error:
            self.abandon()
            if isinstance(error, TimeoutError):
                name = f"the producer {self._txn_manager.transactional_id} has not started"
                limit = f"for {self._within:g} s (TXNWATCH_RETRY_SECONDS)"
                raise KafkaSilentError(f"{name} {limit}") from None
            raise

    async def stop(self) -> None:
        """Flush what is pending, then end; the client goes on."""
        if not self._closed:
            self.client = self._unused
            try:
                await super().stop()
            finally:
                self._look_at_failures()

    def abandon(self) -> None:
        """End at once: what waits for it gets ProducerClosed, and the next producer of its id fences it."""
        self._closed, error, transactions = True, ProducerClosed(), self._txn_manager
        self._message_accumulator.fail_all(error)
        if transactions._transaction_waiter is not None and not transactions.is_fatal_error():
            transactions.fatal_error(error)
        self._look_at_failures()
        if self._sender.sender_task is not None:
            self._sender.sender_task.cancel()

    def _look_at_failures(self) -> None:
        """Retrieve what nobody may be waiting for, which asyncio reports as never retrieved.

        A producer that fails tells it to all that could be waited for: the end of the transaction, also where
        its filling has failed before, and the sending of each batch.
        """
        unsent = [batch for batches in self._message_accumulator._batches.values() for batch in batches]
        ends = [self._txn_manager._transaction_waiter, *(batch._drain_waiter for batch in unsent)]
        for end in ends:
            _look_at(end)

    async def unknown_topics(self) -> list[str]:
        """The topics that it was asked to send to and that Kafka does not have."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.client.force_metadata_update(), _LOOK_SECONDS)
        known = self.client.cluster.topics()
        return sorted(self.client._topics - known)


def _look_at(end: asyncio.Future[Any] | None) -> None:
    if end is not None and end.done() and not end.cancelled():
        end.exception()
