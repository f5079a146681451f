"""What is changed in aiokafka: that it is still needed, and what it does."""

# ruff: noqa: SLF001 - what is held against here is not public

import asyncio
import gc
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiokafka import ConsumerRecord, TopicPartition, codec
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer import sender
from aiokafka.protocol.admin import ApiVersionRequest, ApiVersionResponse_v0
from aiokafka.protocol.metadata import MetadataResponse_v0
from aiokafka.record.default_records import DefaultRecordBase, DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from infra.runtime import aiokafka_changes
from infra.runtime.aiokafka_changes import as_fetched, install
from infra.runtime.foreign_batches import UnreadableBatchError
from infra.runtime.record_batches import LZ4, UNCOMPRESSED, batches
from tests.support.certificates import Authority
from tests.support.foreign import ODD_HEADERS, builder

Check = Callable[[AIOKafkaConnection], Awaitable[None]]


def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], check: Check) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), just_ended() as connection:
            await check(connection)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


@asynccontextmanager
async def just_ended() -> AsyncIterator[AIOKafkaConnection]:
    """A connection that its other end has reset, in the turn of the loop before its reader is told."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        no_goodbye = struct.pack("ii", 1, 0)  # on, 0 seconds
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_goodbye)
        writer.close()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        connection = AIOKafkaConnection(host, port)
        connecting = asyncio.create_task(connection.connect())
        while not (connection._reader and connection._reader.exception()):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
        yield connection
        with pytest.raises(KafkaConnectionError):
            await connecting


@pytest.fixture(autouse=True)
def _as_aiokafka_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another test has installed the changes; what this one changes ends with it."""
    for owner, name in (
        (AIOKafkaConnection, "send"),
        (AIOKafkaConnection, "close"),
        (AIOKafkaClient, "bootstrap"),
        (AIOKafkaClient, "close"),
        (AIOKafkaClient, "_metadata_update"),
        (fetcher.PartitionRecords, "_consumer_record"),
        (fetcher.FetchResult, "getall"),
        (fetcher.Fetcher, "close"),
    ):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, getattr(function, "__wrapped__", function))
    monkeypatch.setattr(fetcher.PartitionRecords, "__next__", fetcher.PartitionRecords.__next__)
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.02)
    monkeypatch.setattr(codec.lz4_encode, "__defaults__", (9,))


def test_uvloop_raises_what_aiokafka_does_not_expect() -> None:
    async def check(connection: AIOKafkaConnection) -> None:
        assert connection.connected()
        with pytest.raises(RuntimeError, match="unable to perform operation"):
            await connection.send(ApiVersionRequest())

    run(uvloop.new_event_loop, check)


def test_once_installed_the_connection_is_broken_and_closed() -> None:
    install()

    async def check(connection: AIOKafkaConnection) -> None:
        assert connection.connected()
        with pytest.raises(KafkaConnectionError, match="broken: unable to perform operation"):
            await connection.send(ApiVersionRequest())
        assert not connection.connected()

    run(uvloop.new_event_loop, check)


@pytest.mark.parametrize("changed", [False, True])
async def test_who_stops_a_consumer_whose_fetch_has_failed_is_cancelled_with_it(*, changed: bool) -> None:
    if changed:
        install()
    one = object.__new__(fetcher.Fetcher)
    one._fetch_waiters, (one._fetch_task, pausing) = (
        set(),
        map(asyncio.create_task, map(asyncio.sleep, [60, 60])),
    )
    one._pending_tasks = {pausing}
    await asyncio.sleep(0)

    closing = asyncio.create_task(one.close())
    await asyncio.wait([closing])

    assert (closing.cancelled(), pausing.cancelled(), one._fetch_task.cancelled()) == (
        not changed,
        True,
        True,
    )


@asynccontextmanager
async def still_sending(folder: Path) -> AsyncIterator[AIOKafkaConnection]:
    """An encrypted connection whose other end sends, reads nothing, and answers no goodbye."""
    authority = Authority.new("ours")
    (pem := folder / "server.pem").write_bytes(authority.give("server"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    ended = asyncio.Event()

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a transport that reads
        await ended.wait()
        writer.transport.abort()

    async with await asyncio.start_server(send, "127.0.0.1", 0, ssl=context) as server:
        host, port = server.sockets[0].getsockname()
        trusting = ssl.create_default_context(cadata=authority.pem.decode())
        connection = AIOKafkaConnection(host, port, security_protocol="SSL", ssl_context=trusting)
        connecting = asyncio.create_task(connection.connect())
        while connection._writer is None:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
        try:
            yield connection
        finally:
            ended.set()
            with pytest.raises(KafkaConnectionError):
                await connecting


@pytest.mark.parametrize("changed", [False, True])
def test_an_encrypted_connection_waits_for_the_other_side(tmp_path: Path, *, changed: bool) -> None:
    if changed:
        install()

    async def main() -> None:
        async with asyncio.timeout(30), still_sending(tmp_path) as connection:
            done, _ = await asyncio.wait([connection.close()], timeout=0.3)
            assert bool(done) is changed

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_the_wait_between_transactions_is_a_constant_of_20_ms() -> None:
    source = inspect.getsource(sender)
    assert "\nBACKOFF_OVERRIDE = 0.02 " in source
    assert "return BACKOFF_OVERRIDE" in inspect.getsource(sender.AddPartitionsToTxnHandler)

    install()

    assert sender.BACKOFF_OVERRIDE == 0.001


def test_lz4_is_asked_for_at_level_9(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "level: int = 9" in inspect.getsource(codec.lz4_encode)
    values = [b"%d of a value" % number for number in range(1000)]
    slow = built(values, LZ4)
    with monkeypatch.context() as patched:
        patched.setattr(codec.lz4_encode, "__defaults__", (1,))
        fast = built(values, LZ4)
    assert slow != fast

    install()

    assert built(values, LZ4)[61:] == fast[61:]  # after a header with the time


def test_aiokafkas_fetcher_takes_the_wait_that_is_set_on_it() -> None:
    assert "self._prefetch_backoff = prefetch_backoff" in inspect.getsource(fetcher.Fetcher.__init__)


def test_a_record_is_made_by_a_method_that_can_be_replaced() -> None:
    assert "self._consumer_record(tp, record)" in inspect.getsource(fetcher.PartitionRecords._unpack_records)
    assert ".getall(max_records)" in inspect.getsource(fetcher.Fetcher.fetched_records)


class OneAssignment:
    """What aiokafka's FetchResult asks of an assignment: its one partition's state."""

    active = True

    def __init__(self) -> None:
        self.position, self.paused = 0, False

    def state_value(self, _tp: TopicPartition) -> "OneAssignment":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def built(values: list[bytes], compression: int) -> bytes:
    (batch,) = batches([(b"key", value, []) for value in values], compression)
    return bytes(batch._build())


def fetched(values: list[bytes], key_deserializer: Any = as_fetched) -> tuple[Any, OneAssignment]:
    """A fetch of one batch with these values."""
    return fetch_of(built(values, UNCOMPRESSED), key_deserializer)


def fetch_of(data: bytes, key_deserializer: Any, start: int = 0) -> tuple[Any, OneAssignment]:
    """A fetch as aiokafka's fetcher makes it of a consumer with this deserializer."""
    tp, assignment = TopicPartition("transactions", 0), OneAssignment()
    assignment.position = start
    records = fetcher.PartitionRecords(
        tp, fetcher.MemoryRecords(data), [], start, key_deserializer, None, True, 0  # noqa: FBT003 - aiokafka passes them so
    )  # fmt: skip
    return fetcher.FetchResult(tp, assignment=assignment, partition_records=records, backoff=0), assignment


@pytest.mark.parametrize("most", [1, 99, 100, 101, 249, 250, 251, None])
def test_a_fetch_is_handed_out_whole_in_parts_of_at_most_so_many_records(most: int | None) -> None:
    install()
    values = [b"%d" % number for number in range(250)]
    fetch, assignment = fetched(values)

    taken = []
    while fetch.has_more():
        taken.append([record.value for record in fetch.getall(most)])
        assert assignment.position == sum(map(len, taken))

    assert [value for one in taken for value in one] == values
    assert max(map(len, taken)) <= (most or 250)


def test_a_part_ends_once_its_values_are_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setattr(aiokafka_changes, "_PART_BYTES", 10_000)
    fetch, _ = fetched([bytes(100)] * 400)

    assert [len(fetch.getall(1000)) for _ in range(5)] == [100, 100, 100, 100, 0]


@pytest.mark.parametrize("deserializer", [None, bytes.decode])
def test_another_consumer_of_the_process_gets_what_it_always_got(
    deserializer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    monkeypatch.setattr(aiokafka_changes, "_PART_BYTES", 10_000)
    fetch, _ = fetched([bytes(100)] * 400, deserializer)

    records = fetch.getall(1000)

    assert len(records) == 400
    assert {type(record) for record in records} == {ConsumerRecord}
    assert (records[7].topic, records[7].offset) == ("transactions", 7)
    assert records[7].key == ("key" if deserializer else b"key")


def test_aiokafkas_reader_fails_on_a_header_name_in_latin_1() -> None:
    batch = DefaultRecordBatch(odd_batch(compression=1))
    with pytest.raises(UnicodeDecodeError):
        list(batch)


@pytest.mark.parametrize("compression", [0, 1, 3, 4])
@pytest.mark.parametrize("key_deserializer", [None, as_fetched])
def test_a_batch_with_any_header_name_is_read_between_others(compression: int, key_deserializer: Any) -> None:
    install()
    data = built([b"before"] * 2, UNCOMPRESSED) + odd_batch(2, compression) + odd_batch(5)
    fetch, assignment = fetch_of(data, key_deserializer)

    records = [*fetch.getall(3), *fetch.getall()]

    assert [(one.offset, one.value) for one in records] == [
        (0, b"before"), (1, b"before"), (2, b"2"), (3, b"3"), (4, b"4"), (5, b"5"), (6, b"6"), (7, b"7"),
    ]  # fmt: skip
    assert [list(one.headers) for one in records[3:5]] == [[], [("h\\xe4ndler", b"x"), ("none", None)]]
    assert assignment.position == 8


def test_records_before_damage_are_handed_out_and_then_it_is_named() -> None:
    install()
    damaged = bytearray(odd_batch(2))
    damaged[-1] ^= 0xFF
    data = built([b"before"] * 2, UNCOMPRESSED) + bytes(damaged)
    fetch, assignment = fetch_of(data, as_fetched)

    assert [one.value for one in fetch.getall()] == [b"before"] * 2
    assert assignment.position == 2
    again, _ = fetch_of(data, as_fetched, start=2)
    place = "topic transactions partition 0: the records from offset 2 to 4 cannot be read: .* to 5 "
    with pytest.raises(UnreadableBatchError, match=f"{place}.*`txnwatch state start-over`"):
        again.getall()


def odd_batch(base_offset: int = 0, compression: int = 0) -> bytes:
    """A batch of three records: the first has odd attributes (uncompressed), the last a header in Latin-1."""
    made = builder(compression)
    for number in range(3):
        value, headers = b"%d" % (base_offset + number), ODD_HEADERS if number == 2 else []
        made.append(number, 1, b"key", value, headers)
    data = bytearray(base_offset.to_bytes(8) + bytes(made.build())[8:])
    if not compression:
        data[DefaultRecordBase.HEADER_STRUCT.size + 1] = 0xC0
        data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4)
    return bytes(data)


VERSIONS = ApiVersionResponse_v0(0, [(18, 0, 0), (3, 0, 0)])


@asynccontextmanager
async def only_broker(silent: asyncio.Event | None = None) -> AsyncIterator[int]:
    """A broker that knows of itself, and of no topic; its port. It may set this instead of telling so."""
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while request := await reader.readexactly(int.from_bytes(await reader.readexactly(4))):
                if silent and request[:2] != b"\0\x12":
                    silent.set()
                    continue
                body = VERSIONS if request[:2] == b"\0\x12" else MetadataResponse_v0([(1, host, port)], [])
                message = request[4:8] + body.encode()
                writer.write(len(message).to_bytes(4) + message)

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield port
        for writer in writers:
            writer.close()


async def found_again() -> bool:
    """Whether a client finds the only broker, which has moved to another of the bootstrap addresses."""
    async with only_broker() as port:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
        await client.bootstrap()
        await client.force_metadata_update()
    async with only_broker() as port, asyncio.timeout(30):
        client._bootstrap_servers = f"127.0.0.1:{port}"
        found = await client.force_metadata_update()
        assert [broker.port == port for broker in client.cluster.brokers()] == [found]
        await client.close()
    return bool(found)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_client_that_is_given_up_while_it_connects_leaves_a_connection_open(*, changed: bool) -> None:
    if changed:
        install()
    unclosed = pytest.warns(ResourceWarning, match="Unclosed AIOKafkaConnection")
    asked = asyncio.Event()
    with nullcontext() if changed else unclosed:
        async with only_broker(asked) as port:
            client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
            connecting = asyncio.create_task(client.bootstrap())
            await asked.wait()
            connecting.cancel()
            await asyncio.wait([connecting])
            del connecting
            gc.collect()
    await client.close()


@pytest.mark.parametrize("changed", [False, True])
async def test_who_closes_a_client_does_not_learn_that_he_is_cancelled(*, changed: bool) -> None:
    if changed:
        install()
    async with only_broker() as port:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}")
        await client.bootstrap()
        await client.force_metadata_update()
        [connection] = client._conns.values()

        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        assert (closing.cancelled(), connection.connected()) == (changed, False)
        await client.close()


async def test_aiokafka_asks_only_the_brokers_that_it_knows() -> None:
    assert not await found_again()


async def test_the_bootstrap_addresses_are_asked_again_once_no_known_broker_answers() -> None:
    install()

    assert await found_again()
