"""`txnwatch api` as people run it."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.api.rows import made, store

TXNWATCH = Path(sys.executable).parent / "txnwatch"
API: tuple[Path | str, ...] = (TXNWATCH, "api")
SECONDS = 20


@dataclass(slots=True)
class Running:
    """A process that listens, and what it said until then."""

    process: asyncio.subprocess.Process
    url: str
    said: str


async def started(
    environment: dict[str, str], folder: Path, *arguments: str, program: tuple[Path | str, ...] = API
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program, *arguments, cwd=folder, env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@asynccontextmanager
async def listening(
    environment: dict[str, str], folder: Path, *arguments: str, program: tuple[Path | str, ...] = API
) -> AsyncIterator[Running]:
    process = await started(environment, folder, *arguments, program=program)
    try:
        assert process.stderr is not None
        said = b""
        async with asyncio.timeout(SECONDS):
            while not (found := re.search(rb"listening on (http://\S+)", said)):
                line = await process.stderr.readline()
                assert line, said
                said += line
        yield Running(process, found[1].decode(), said.decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(SECONDS):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_it_serves_and_a_signal_ends_it_and_its_streams(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        async with listening(environment, tmp_path) as running, aiohttp.ClientSession(running.url) as session:
            assert running.url == f"http://127.0.0.1:{environment['TXNWATCH_API_PORT']}"
            async with session.get("/") as response:
                assert (response.status, response.url.path) == (200, "/docs")
            async with session.get("/ready") as response:
                assert response.status == 200
            async with session.get("/sse/anomalies") as stream:
                await stream.content.readuntil(b"\n\n")
                running.process.send_signal(number)
                async with asyncio.timeout(5):
                    assert (await stream.content.read()).startswith(b": stopping\nretry: ")
                    code, said = await ended(running.process)
            assert code == 0
            assert "Traceback" not in said


async def test_no_more_live_clients_are_let_in_than_files_may_be_open(
    environment: dict[str, str], tmp_path: Path
) -> None:
    limited = tmp_path / "limited"
    limited.write_text(f"#!/bin/sh\nulimit -n 259\nexec {TXNWATCH} api\n")
    limited.chmod(0o700)
    async with (
        listening(environment, tmp_path, program=(limited,)) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        assert "few files may be open here: at most 3 live clients are served" in running.said
        async with AsyncExitStack() as streams:
            for first in (b": txnwatch\n", b": txnwatch\n", b": txnwatch\n", b": full\n"):
                stream = await streams.enter_async_context(session.get("/sse/anomalies"))
                assert await stream.content.readline() == first
        async with session.get("/ready") as response:
            assert response.status == 200


async def test_cursors_outlive_a_restart(environment: dict[str, str], tmp_path: Path) -> None:
    user = "0b6c2c1e-3d4e-4f5a-8b9c-0d1e2f3a4b5c"
    await store(environment["POSTGRES_URL"], [made(user)])
    query = {"user_id": user, "from_date": "2018-01-01"}
    cursors: list[str] = []
    for _ in range(2):
        async with listening(environment, tmp_path) as running, aiohttp.ClientSession(running.url) as session:
            for cursor in cursors:
                async with session.get("/transactions", params={**query, "cursor": cursor}) as response:
                    assert response.status == 200
            async with session.get("/transactions", params=query) as response:
                cursors.append((await response.json())["cursor"])
    assert len(set(cursors)) == 1


async def test_a_taken_port_is_told_in_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = await ended(await started(environment, tmp_path, "--port", str(port)))
    assert code == 1
    assert said.splitlines() == [
        f"Error: Port {port} on 127.0.0.1 is taken: set TXNWATCH_API_PORT, or stop what listens there."
    ]


async def test_a_wrong_setting_is_told_by_its_name(environment: dict[str, str], tmp_path: Path) -> None:
    wrong = {
        **environment,
        "TXNWATCH_API_PORT": "http",
        "TXNWATCH_QUERY_CACHE_SECONDS": "-1",
        "POSTGRES_URL": "mysql://someone:hidden-word@localhost/x",
        "REDIS_URL": "redis://someone:hidden-word@localhost:port/0",
    }
    code, said = await ended(await started(wrong, tmp_path))
    assert code == 1
    [line] = said.splitlines()
    for name in ("TXNWATCH_API_PORT", "TXNWATCH_QUERY_CACHE_SECONDS", "POSTGRES_URL", "REDIS_URL"):
        assert name in line
    assert "hidden-word" not in line


async def test_what_is_not_http_is_refused_without_a_stack_trace(
    environment: dict[str, str], tmp_path: Path
) -> None:
    nonsense = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /users?cursor=" + b"A" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /\x00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /users?limit=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    async with listening(environment, tmp_path) as running:
        for request in nonsense:
            assert re.match(rb"HTTP/1\.[01] 4\d\d ", await _answer(running.url, request)), request[:40]
        running.process.send_signal(signal.SIGTERM)
        _, said = await ended(running.process)
    assert "Traceback" not in said


async def test_an_overlong_cursor_is_refused_by_its_name(environment: dict[str, str], tmp_path: Path) -> None:
    async with (
        listening(environment, tmp_path) as running,
        aiohttp.ClientSession(running.url) as session,
        session.get("/users", params={"cursor": "A" * 10_000}) as response,
    ):
        assert response.status == 422
        assert [error["parameter"] for error in (await response.json())["errors"]] == ["cursor"]


async def _answer(url: str, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(request)
        async with asyncio.timeout(SECONDS):
            return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
