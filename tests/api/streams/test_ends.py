"""Clients that do not read, streams that end, and streams that find no place."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.live.connections import Connections
from api.live.listeners import Client as StreamClient
from api.metrics import Metrics
from api.settings import Settings
from tests.support.events import listening
from tests.support.rows import Worker, made
from tests.support.serving import PATIENCE, Client, counted, serving, settings_from, until
from tests.support.streams import ALICE, PATH


async def test_a_client_that_does_not_read_is_cut_off_alone(settings: Settings, worker: Worker) -> None:
    many = [made(ALICE, n, meta_data={"long": "x" * 50_000}) for n in range(400)]
    async with serving(settings, buffer_bytes=200_000) as client, listening(client, PATH) as reading:
        async with asyncio.timeout(PATIENCE):
            silent = await _connected(client)
        try:
            await until(client, "txnwatch_api_sse_clients", 2)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.publish(*many, each=20))
                rows = await reading.rows(400)
            assert [row["id"] for row in rows] == [one.txn.id for one in many]
            await until(client, "txnwatch_api_sse_cut_off_total", 1)
            await until(client, "txnwatch_api_sse_clients", 1)
            await worker.publish(made(ALICE, 400))
            assert await reading.rows(1) == [made(ALICE, 400).shown]
        finally:
            silent.close()


async def _connected(client: Client) -> socket.socket:
    """A client that asks for the stream and never reads of it, with little room to be sent to."""
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.setblocking(False)  # noqa: FBT003 - it takes no name
    loop = asyncio.get_running_loop()
    await loop.sock_connect(silent, (client.host, client.port))
    await loop.sock_sendall(silent, f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return silent


async def test_stopping_ends_streams_promptly_and_whole(settings: Settings) -> None:
    async with serving(settings) as client, listening(client, PATH) as stream:
        assert client.server.runner is not None
        async with asyncio.timeout(5):
            await client.server.runner.cleanup()
            last = await stream.response.content.read()  # an error, were the answer cut short
        assert re.fullmatch(rb": stopping\nretry: \d+\n", last)


async def test_who_comes_while_the_process_stops_is_told_to_come_back_and_not_to_give_up() -> None:
    connections = Connections(settings_from({}, retry_milliseconds=1000), Metrics())

    async def stopping(_client: StreamClient) -> AsyncGenerator[bytes, None]:
        await connections.close()
        yield b": ready\n\n"

    async def handle(request: web.Request) -> web.StreamResponse:
        return await connections.send(request, stopping)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert response.status == 200
        assert re.fullmatch(rb": stopping\nretry: 1\d{3}\n", await response.read())


async def test_clients_of_a_process_that_stops_are_told_to_come_back_at_different_times(
    settings: Settings,
) -> None:
    async with serving(settings, retry_milliseconds=1000) as client, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(client, PATH)) for _ in range(12)]
        assert client.server.runner is not None
        await client.server.runner.cleanup()
        for stream in streams:
            with pytest.raises(EOFError):
                await stream.block()
            assert stream.comments[-1] == "stopping"
        retries = [stream.retry or 0 for stream in streams]
        assert len(set(retries)) > 6
        assert all(1000 <= one <= 2000 for one in retries)


async def test_who_finds_no_place_is_told_to_come_back_and_not_to_give_up(settings: Settings) -> None:
    async with serving(settings, stream_clients=2, retry_milliseconds=1000) as client:
        async with listening(client, PATH), listening(client, "/sse/anomalies") as last:
            for path in (PATH, "/sse/anomalies"):
                async with client.get(path, headers={"Last-Event-ID": last.last_id}) as response:
                    assert (response.status, response.content_type) == (200, "text/event-stream")
                    assert response.headers["Connection"] == "close"
                    body = await response.text()
                found = re.fullmatch(r": full\nretry: (\d+)\n", body)  # and no id, so that it keeps its place
                assert found
                assert 5000 <= int(found[1]) <= 10_000
        await until(client, "txnwatch_api_sse_clients", 0)
        async with listening(client, PATH):
            assert await counted(client, "txnwatch_api_sse_turned_away_total") == 2


async def test_an_older_client_is_served_without_chunks(client: Client, worker: Worker) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(f"GET {PATH} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            assert b"chunked" not in (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b"event: position\n" in await reader.readuntil(b"\n\n")
            for number in range(2):
                await worker.publish(made(ALICE, number))
                event = await reader.readuntil(b"\n\n")
                assert json.loads(event.partition(b"data: ")[2]) == made(ALICE, number).shown
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_stream_that_is_catching_up_is_ended_too(settings: Settings, worker: Worker) -> None:
    async with serving(settings) as client:
        async with listening(client, PATH) as stream:
            start = stream.last_id
        await worker.publish(*(made(ALICE, n, meta_data={"long": "x" * 50_000}) for n in range(300)), each=50)
        async with client.get(PATH, headers={"Last-Event-ID": start}) as response:
            await response.content.readany()
            assert client.server.runner is not None
            async with asyncio.timeout(8):
                await client.server.runner.cleanup()
