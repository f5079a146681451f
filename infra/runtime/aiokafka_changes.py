"""Everything that txnwatch changes in aiokafka, or uses of it that is not public.

`install` makes the changes. The composition roots of worker, API and `txnwatch produce` call it; importing
changes nothing. As of aiokafka 0.14.0 none of them has an option or a release of its own:

- **A write to a connection that has just ended** is ignored by asyncio's loop. uvloop raises RuntimeError,
  which aiokafka expects nowhere: it ends the task that keeps a client's metadata up to date, and the client
  never finds a broker again. `send` closes the connection instead and raises what is expected.
  Upstream: reported, open (aiokafka 1038). It may go when
  `test_uvloop_raises_what_aiokafka_does_not_expect` fails.
- **The wait between two transactions** of a producer is 20 ms: a transaction may begin once the markers of
  the one before are written, which takes a broker 1 or 2 ms. 1 ms here, which halves a small batch's time.
  Upstream: a constant without an option. It may go when
  `test_the_wait_between_transactions_is_a_constant_of_20_ms` fails.
- **LZ4** is asked for at level 9, which is another algorithm: ten times the time for a tenth less to send.
  Level 1 here. Upstream: level 9 on purpose, as brokers do, without an option. It may go when
  `test_lz4_is_asked_for_at_level_9` fails.
- **A record** that was fetched becomes a `ConsumerRecord`, which costs as much as decoding its JSON. A
  consumer made with `key_deserializer=as_fetched` gets records as the compiled reader makes them (`offset`,
  `timestamp`, `key`, `value`, `headers`), and a fetch in parts of about 16 MB: a few kilobytes of zeros,
  compressed, are megabytes of messages. Other consumers of the process get what they always got.
  Upstream: no hook. It may go when `test_a_record_is_made_by_a_method_that_can_be_replaced` fails.
- **The bootstrap addresses** are asked once, at the start. A cluster whose brokers have all come back under
  other addresses is then never found again. They are asked again whenever no known broker answers.
  Upstream: none known; Java's clients have it since 3.8 (KIP-899). It may go when
  `test_aiokafka_asks_only_the_brokers_that_it_knows` fails.
- **A batch that cannot be read** as UTF-8 or by its attributes is read by `infra.runtime.foreign_batches`; of
  one that nobody can read the error names topic, partition and offsets.
  Upstream: none known. It may go when `test_aiokafkas_reader_fails_on_a_header_name_in_latin_1` fails.
- **An encrypted connection** that is closed while the broker sends is gone only when the broker has said the
  end of TLS too, for which uvloop waits 30 s, and a partition's take-over with it. It is cut here: nobody
  closes one who still waits for an answer. Upstream: no option. It may go when
  `test_an_encrypted_connection_waits_for_the_other_side` fails.
- **Who stops a consumer** whose last fetch has just failed is cancelled as that one is: aiokafka awaits what
  it has cancelled, and a fetch that failed pauses first. A broker that restarted ended ingest so.
  Upstream: none known. It may go when
  `test_who_stops_a_consumer_whose_fetch_has_failed_is_cancelled_with_it` fails.
- **A client that is given up** while it asks its first broker leaves that connection open, for the garbage
  collector to find. It is closed here.
  Upstream: none known. It may go when
  `test_a_client_that_is_given_up_while_it_connects_leaves_a_connection_open` fails.
- **Who closes a client** and is cancelled meanwhile goes on as if nothing had come: aiokafka takes it for the
  end of a task of its own. What follows a topic then never ends, nor does whoever waits for its end. He is
  cancelled here, and the connections are closed all the same.
  Upstream: none known. It may go when
  `test_who_closes_a_client_does_not_learn_that_he_is_cancelled` fails.

The functions below `install` reach into objects of aiokafka and change no class.
"""

# ruff: noqa: SLF001 - the one place where it may be

import asyncio
import functools
import sys
import traceback
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, codec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason, create_conn
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.producer import sender
from aiokafka.protocol.metadata import MetadataRequest

from infra.runtime.foreign_batches import KeptRecords, UnreadableBatchError, next_record, read_records

_TRANSACTION_WAIT_SECONDS = 0.001
_LZ4_LEVEL = 1
_PART_BYTES = 16 << 20
# The size of a part is looked at every so many records.
_AT_A_TIME = 100

# What a client's connections are made with, by the names of `create_conn`.
_CONNECTION_OPTIONS = (
    "client_id", "request_timeout_ms", "ssl_context", "security_protocol", "sasl_mechanism",
    "sasl_plain_username", "sasl_plain_password", "sasl_kerberos_service_name", "sasl_kerberos_domain_name",
    "sasl_oauth_token_provider",
)  # fmt: skip

_send = AIOKafkaConnection.send
_close = AIOKafkaConnection.close
_bootstrap = AIOKafkaClient.bootstrap
_end_client = AIOKafkaClient.close
_update = AIOKafkaClient._metadata_update
_consumer_record = fetcher.PartitionRecords._consumer_record
_getall = fetcher.FetchResult.getall
_end_fetches = fetcher.Fetcher.close


def install() -> None:
    """Make the changes, for this process; a second call changes nothing more."""
    AIOKafkaConnection.send = _send_or_break
    AIOKafkaConnection.close = _close_at_once
    AIOKafkaClient.bootstrap = _bootstrap_or_close
    AIOKafkaClient.close = _close_client
    AIOKafkaClient._metadata_update = _update_or_bootstrap
    sender.BACKOFF_OVERRIDE = _TRANSACTION_WAIT_SECONDS
    codec.lz4_encode.__defaults__ = (_LZ4_LEVEL,)
    fetcher.PartitionRecords._consumer_record = _record
    fetcher.PartitionRecords.__next__ = next_record
    fetcher.MemoryRecords = KeptRecords
    fetcher.FetchResult.getall = _part
    fetcher.Fetcher.close = _close_fetcher


def as_fetched(key: bytes | None) -> bytes | None:
    """The key itself. As a consumer's `key_deserializer`, it chooses records without `ConsumerRecord`."""
    return key


def fetch_without_pause(consumer: AIOKafkaConsumer) -> None:
    """Have a started consumer fetch on while what it fetched of other partitions is not yet taken."""
    consumer._fetcher._prefetch_backoff = 0


def limit_fetches(consumer: AIOKafkaConsumer, partition_bytes: int) -> None:
    """Have a started consumer ask for so many bytes of each partition at a time from now on."""
    consumer._fetcher._max_partition_fetch_bytes = partition_bytes


def end_on_deleted(consumer: AIOKafkaConsumer) -> None:
    """Have a started consumer raise from now on where its position is not in the topic any more."""
    consumer._fetcher._default_reset_strategy = fetcher.OffsetResetStrategy.NONE


async def refresh_metadata(consumer: AIOKafkaConsumer, within: float) -> bool:
    """Ask a broker which brokers and topics there are; False when none answers in so many seconds."""
    with suppress(TimeoutError):
        return bool(await asyncio.wait_for(consumer._client.force_metadata_update(), within))
    return False


def generation_of(consumer: AIOKafkaConsumer) -> int:
    """The generation of the consumer's group, as this member knows it."""
    return int(consumer._coordinator.generation)


def member_of(consumer: AIOKafkaConsumer) -> str:
    """The id by which the consumer's group knows this member."""
    return str(consumer._coordinator.member_id)


def position_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The next offset of an assigned partition, without waiting for it; None while it is not known."""
    state = consumer._subscription.subscription.assignment.state_value(partition)
    return int(state.position) if state.has_valid_position else None


def request_rejoin(consumer: AIOKafkaConsumer) -> None:
    """Ask the consumer's group to share the partitions out again."""
    consumer._coordinator.request_rejoin()


async def send_request(admin: AIOKafkaAdminClient, request: Any, node: int | None = None) -> Any:
    """The whole answer of a broker, or of any. aiokafka's own calls leave out the error of the whole."""
    return await admin._send_request(request, node)


@functools.wraps(_send)
def _send_or_break(self: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
    try:
        return _send(self, *arguments, **options)
    except RuntimeError as error:
        if not self._writer.is_closing():
            raise
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


@functools.wraps(_close)
def _close_at_once(self: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
    # Looked at before: a transport that has been closed twice has nothing to say.
    transport = self._writer and self._writer.transport
    encrypted = transport if transport and transport.get_extra_info("ssl_object") else None
    closed = _close(self, *arguments, **options)
    if encrypted:
        encrypted.abort()
    return closed


@functools.wraps(_bootstrap)
async def _bootstrap_or_close(self: AIOKafkaClient) -> None:
    try:
        await _bootstrap(self)
    except BaseException as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            connection = frame.f_code is _bootstrap.__code__ and frame.f_locals.get("bootstrap_conn")
            if connection:  # only its own variable has it
                connection.close()
        raise


@functools.wraps(_end_client)
async def _close_client(self: AIOKafkaClient) -> None:
    updating, self._sync_task = self._sync_task, None
    try:
        if updating:
            updating.cancel()
            await asyncio.wait([updating])
    finally:
        closed = [one.close(reason=CloseReason.SHUTDOWN) for one in self._conns.values()]
    await asyncio.gather(*closed)


@functools.wraps(_update)
async def _update_or_bootstrap(self: AIOKafkaClient, cluster: Any, topics: Any) -> bool:
    if await _update(self, cluster, topics):
        return True
    for host, port, _ in self.hosts:
        metadata = await _metadata(self, host, port, MetadataRequest(list(topics or ()) or None))
        if metadata is not None and metadata.brokers:
            cluster.update_metadata(metadata)
            return True
    return False


async def _metadata(client: AIOKafkaClient, host: str, port: int, request: MetadataRequest) -> Any:
    """The answer of whoever is at this address; None without one."""
    options = {name: getattr(client, f"_{name}") for name in _CONNECTION_OPTIONS}
    with suppress(OSError, KafkaError):
        connection = await create_conn(host, port, **options)
        try:
            return await connection.send(request)
        finally:
            connection.close()
    return None


@functools.wraps(_end_fetches)
async def _close_fetcher(self: fetcher.Fetcher) -> None:
    ended = {self._fetch_task, *self._pending_tasks}
    for task in ended:
        task.cancel()
    await asyncio.wait(ended)
    self._pending_tasks.clear()
    await _end_fetches(self)


@functools.wraps(_consumer_record)
def _record(self: fetcher.PartitionRecords, tp: Any, record: Any) -> Any:
    return record if self._key_deserializer is as_fetched else _consumer_record(self, tp, record)


@functools.wraps(_getall)
def _part(self: fetcher.FetchResult, max_records: int | None = None) -> list[Any]:
    """The next records, at most so many; no more once keys and values exceed a part's size."""
    if not self.has_more() or self._partition_records._key_deserializer is not as_fetched:
        records: list[Any] = _getall(self, max_records)
        return records
    taken: list[Any] = []
    if not self.check_assignment(self._topic_partition):
        return taken
    size, most, is_last = 0, max_records or sys.maxsize, False
    while len(taken) < most and size < _PART_BYTES and not is_last:
        asked = min(_AT_A_TIME, most - len(taken))
        some: list[Any] = []
        try:
            read_records(self._partition_records, some, asked)
        except UnreadableBatchError:
            if not (taken or some):
                raise
            is_last = True  # first what comes before it: fetched again from there, it is raised
        taken += some
        size += sum([len(record.value or b"") + len(record.key or b"") for record in some])
        is_last |= len(some) < asked
    self._update_position()
    if is_last:
        self._partition_records = None  # as aiokafka marks what is used up
    return taken
