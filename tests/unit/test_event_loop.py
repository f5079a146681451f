"""A real connection that has ended, written to before its reader has noticed."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from infra.runtime.event_loop import new_event_loop

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
        while not (connection._reader and connection._reader.exception()):  # noqa: SLF001, ASYNC110 - nothing else tells
            await asyncio.sleep(0)
        yield connection
        with pytest.raises(KafkaConnectionError):
            await connecting


@pytest.fixture
def _as_aiokafka_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    send: Any = AIOKafkaConnection.send
    monkeypatch.setattr(AIOKafkaConnection, "send", getattr(send, "__wrapped__", send))


@pytest.mark.usefixtures("_as_aiokafka_has_it")
def test_uvloop_raises_what_aiokafka_does_not_expect() -> None:
    """Once this fails, the mend may go."""

    async def check(connection: AIOKafkaConnection) -> None:
        assert connection.connected()
        with pytest.raises(RuntimeError, match="unable to perform operation"):
            await connection.send(ApiVersionRequest())

    run(uvloop.new_event_loop, check)


@pytest.mark.usefixtures("_as_aiokafka_has_it")
def test_on_our_loop_the_connection_is_broken_and_closed() -> None:
    async def check(connection: AIOKafkaConnection) -> None:
        assert connection.connected()
        with pytest.raises(KafkaConnectionError, match="broken: unable to perform operation"):
            await connection.send(ApiVersionRequest())
        assert not connection.connected()

    run(new_event_loop, check)
