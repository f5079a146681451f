"""Connections that say nothing, or half a head."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from api.web.sockets import Site, Sockets
from tests.support.installation import until
from tests.support.services import free_port

LARGE = b"x" * (16 << 20) + b"!"
HALF_A_HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def listening(sockets: Sockets) -> AsyncIterator[int]:
    """The port of a server that answers, and streams until its client leaves."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    async def health(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    app = web.Application(middlewares=[sockets.heard])
    app.router.add_get("/health", health)
    app.router.add_get("/stream", stream)
    app.router.add_get("/large", large)
    runner, port = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1), free_port()
    await runner.setup()
    try:
        await Site(runner, sockets, "127.0.0.1", port).start()
        async with sockets.watched():
            yield port
    finally:
        await runner.cleanup()


async def connected(port: int, said: bytes = b"") -> socket.socket:
    one = socket.socket()
    one.setblocking(False)  # noqa: FBT003 - it takes no name
    loop = asyncio.get_running_loop()
    await loop.sock_connect(one, ("127.0.0.1", port))
    await loop.sock_sendall(one, said)
    return one


def is_cut_off(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def test_who_sends_no_whole_head_in_time_is_cut_off_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.web.sockets._LOOK_SECONDS", 0.1)
    async with (
        listening(Sockets(100, head_seconds=0.5)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        with ExitStack() as stack:
            silent = [stack.enter_context(await connected(port, said)) for said in (b"", HALF_A_HEAD)]
            async with session.get("/stream") as response, session.get("/health") as answer:
                assert await answer.text() == "ok"

                async def cut_off() -> bool:
                    return all(map(is_cut_off, silent))

                await until(cut_off, within=10)
                assert not response.content.at_eof()
            async with session.get("/health") as again:  # over the connection that was idle all this time
                assert again.status == 200
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert re.match(r"cut off [12] connections without a whole request within 0.5 s", line)


async def test_who_reads_its_answer_slowly_is_not_silent() -> None:
    async with (
        listening(Sockets(2)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        with await connected(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as slow:
            await asyncio.get_running_loop().sock_recv(slow, 1)
            for _ in range(3):
                with await connected(port):
                    async with session.get("/health") as response:
                        assert response.status == 200
            assert len(await _rest(slow)) > len(LARGE)


async def _rest(one: socket.socket) -> bytes:
    """All that the other side still sends, up to the end of the large answer."""
    got = b""
    async with asyncio.timeout(10):
        while not got.endswith(b"!") and (more := await asyncio.get_running_loop().sock_recv(one, 1 << 20)):
            got += more
    return got


async def test_any_number_of_silent_connections_leaves_room_for_who_asks() -> None:
    async with (
        listening(Sockets(20)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/stream") as stream,
    ):
        with ExitStack() as stack:
            silent = [stack.enter_context(await connected(port)) for _ in range(100)]
            async with session.get("/health") as response:
                assert response.status == 200

            async def few_are_left() -> bool:
                return sum(not is_cut_off(one) for one in silent) < 20

            await until(few_are_left, within=10)
            assert not is_cut_off(silent[-1])
            assert not stream.content.at_eof()
