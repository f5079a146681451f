"""`txnwatch api` as people run it."""

import asyncio
import base64
import json
import re
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from api.reading.cursors import Cursors, RowKey
from schemas.masking import without_data
from tests.support.api_process import SECONDS, TXNWATCH, Running, ended, listening, started
from tests.support.rows import made, store, user

HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
USER = user(1)
EVENT_ID = "0a1b2c3d.0-1"
OF_ITSELF = " api.partitions: "
"""Lines of no request: months are made while the test runs."""
SQL = "%27%20OR%201=1;--"


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


async def test_it_is_not_ready_first_and_serves_on_until_its_time_or_another_signal(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for seconds, again in (("1", False), ("60", True)):
        slow = {**environment, "TXNWATCH_API_DRAIN_SECONDS": seconds}
        async with listening(slow, tmp_path) as running, aiohttp.ClientSession(running.url) as session:
            async with session.get("/sse/anomalies") as stream:
                await stream.content.readuntil(b"\n\n")
                running.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(SECONDS):
                    while (await _status(session, "/ready")) == (200, None):  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.01)
                assert await _status(session, "/ready") == (503, "close")
                assert await _status(session, "/users") == (200, "close")
                assert not stream.content.at_eof()
                if again:
                    running.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(SECONDS):
                    assert b": stopping\n" in await stream.content.read()
            code, said = await ended(running.process)
        assert code == 0
        assert "Traceback" not in said


async def _status(session: aiohttp.ClientSession, path: str) -> tuple[int, str | None]:
    async with session.get(path) as response:
        return response.status, response.headers.get("Connection")


REFUSED = [
    (b"GET /users HTTP/1.1\r\nHost: x\r\nCookie: " + b"y" * 12_000, 431),
    (b"GET /users?cursor=" + b"A" * 100_000 + b" HTTP/1.1\r\nHost: x", 414),
    (b"nonsense", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\n: no name", 400),
]


async def test_what_the_parser_refuses_is_a_problem_too(environment: dict[str, str], tmp_path: Path) -> None:
    async with listening(environment, tmp_path) as running:
        for request, status in REFUSED:
            answer = await _answer(running.url, request + b"\r\n\r\n", whole=True)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert re.match(rb"HTTP/1\.[01] %d " % status, head), answer
            assert b"\r\nContent-Type: application/problem+json" in head
            problem = json.loads(body)
            assert problem["status"] == status
            assert problem["detail"].isprintable()


def limited(limit: str) -> tuple[Path | str, ...]:
    """The API under this limit of the shell's."""
    return ("/bin/sh", "-c", f'ulimit {limit}; exec "$0" api', TXNWATCH)


async def test_no_more_live_clients_are_let_in_than_files_may_be_open(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with (
        listening(environment, tmp_path, program=limited("-n 259")) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        assert "few files may be open here: at most 3 live clients are served" in running.said
        async with AsyncExitStack() as streams:
            for first in (b"retry: ", b"retry: ", b"retry: ", b": full\n"):
                stream = await streams.enter_async_context(session.get("/sse/anomalies"))
                assert (await stream.content.readline()).startswith(first)
        async with session.get("/ready") as response:
            assert response.status == 200


async def test_silent_connections_leave_room_for_a_health_check(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with (
        listening(environment, tmp_path, program=limited("-n 300")) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        port = URL(running.url).port
        with ExitStack() as silent:
            for _ in range(600):
                silent.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(3):
                async with session.get("/health") as response:
                    assert response.status == 200
            assert "silent ones above 172 in all" in await _line(running)


@pytest.mark.skipif(
    not hasattr(resource, "prlimit") or 0 <= HARD_LIMIT < 16_000,
    reason="no more files may be open here, or nothing says how many",
)
async def test_it_lets_itself_open_as_many_files_as_it_may(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with listening(environment, tmp_path, program=limited("-S -n 259")) as running:
        limits = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
    assert limits == (HARD_LIMIT, HARD_LIMIT)
    assert "few files" not in running.said


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
    assert (
        said.splitlines()[-1]
        == f"Error: Port {port} on 127.0.0.1 is taken: set TXNWATCH_API_PORT, or stop what listens there."
    )
    assert "Traceback" not in said


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


async def test_bad_input_is_named_and_leaves_one_line_each(
    environment: dict[str, str], tmp_path: Path
) -> None:
    await store(environment["POSTGRES_URL"], [made(USER)])
    query = f"user_id={USER}&from_date=2018-01-01"
    async with listening(environment, tmp_path) as running, aiohttp.ClientSession() as session:
        async with session.get(f"{running.url}/transactions?{query}") as response:
            cursor = (await response.json())["cursor"]
        for target, named in _bad_targets(query, cursor):
            url = URL(running.url + target, encoded=True)
            async with session.get(url) as response:
                assert (response.status, response.content_type) == (422, "application/problem+json"), target
                errors = (await response.json())["errors"]
                assert {error["parameter"] for error in errors} == {named}, target
                assert "X-Injected" not in response.headers
            line = await _line(running)
            assert f": 422 {without_data(named)} " in line
            assert target not in line
            assert line.removesuffix("\n").isprintable()
        running.process.send_signal(signal.SIGTERM)
        _, said = await ended(running.process)
    [last] = [line for line in said.splitlines() if OF_ITSELF not in line]
    assert last.endswith(": stopping")


def _bad_targets(query: str, cursor: str) -> Iterator[tuple[str, str]]:
    """What to ask for, and the parameter that is wrong with it; `query` and `cursor` are good ones."""
    position = RowKey(made(USER).txn.txn_date, made(USER).txn.id, USER)
    version, dot, sealed = cursor.partition(".")
    raw = bytearray(base64.urlsafe_b64decode(sealed))
    raw[5] ^= 1
    cursors = {
        "bit-flipped": version + dot + base64.urlsafe_b64encode(raw).decode(),
        "truncated": cursor[:-4],
        "of another key": Cursors(b"another").of_row(USER, position),
        "10 kB": "A" * 10_000,
        "SQL": SQL,
        "twice": f"{cursor}&cursor={cursor}",
    }
    for other in cursors.values():
        yield f"/transactions?{query}&cursor={other}", "cursor"
    braces = f"%7B{USER}%7D"
    parameters = {
        "limit": ("0", "-1", str(10**9), SQL, "5&limit=5"),
        "from_date": (
            "0000-01-01",
            "10000-01-01",
            "2018-04-02&to_date=2018-04-01",
            SQL,
            "2018-04-01&from_date=2018-04-01",
        ),
        "to_date": ("0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2018-04-01&to_date=2018-04-01"),
        "min_amount": ("NaN", "2&max_amount=1", SQL, "1&min_amount=1"),
        "max_amount": ("nan", "Infinity", "1&max_amount=2"),
        "is_anomaly": (SQL, "true&is_anomaly=true"),
    }
    for name, texts in parameters.items():
        for text in texts:
            yield f"/transactions?user_id={USER}&{name}={text}", name
    for other in (braces, SQL, f"{USER}&user_id={USER}", ""):
        yield f"/transactions?user_id={other}", "user_id"
    yield f"/anomalies?cursor={cursor}", "cursor"  # one user's is not everyone's
    yield f"/users?cursor={cursor}", "cursor"
    for other in (braces, SQL, f"{USER}%0d%0aX-Injected:%201", "%00", USER.replace("-", "")):
        yield f"/users/{other}/stats", "user_id"
        yield f"/sse/transactions/{other}", "user_id"
    for path in (f"/sse/transactions/{USER}", "/sse/anomalies"):
        for last_id in ("x", f"{EVENT_ID}%0d%0aX-Injected:%201", SQL, f"{EVENT_ID}&last_event_id={EVENT_ID}"):
            yield f"{path}?last_event_id={last_id}", "last_event_id"


@pytest.mark.parametrize(
    "header",
    [
        f"Last-Event-ID: {EVENT_ID}\rX-Injected: 1",
        f"Last-Event-ID: {EVENT_ID}\r\rdata: X-Injected",
        f"Last-Event-ID: {EVENT_ID}\0X-Injected",
        f"Last-Event-ID: {EVENT_ID}\r\n\tX-Injected: 1",
        f"Last-Event-ID: {EVENT_ID}\r\n .1-1",
        f"Last-Event-ID: {EVENT_ID}\r\nLast-Event-ID: {EVENT_ID}",
        f"Last-Event-ID: {'X-Injected' * 1000}",
    ],
)
async def test_no_header_of_a_live_client_carries_anything_else(
    environment: dict[str, str], tmp_path: Path, header: str
) -> None:
    request = f"GET /sse/anomalies HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n"
    async with listening(environment, tmp_path) as running:
        answer = await _answer(running.url, request.encode("latin-1"), whole=True)
        assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"X-Injected" not in head
        # The parser quotes what it refuses, escaped, in text for a person.
        assert not re.search(rb"\r|\0|^X-Injected|^data:", body, re.MULTILINE), body
        async with aiohttp.ClientSession(running.url) as session, session.get("/users?limit=0") as response:
            assert response.status == 422
        lines = [await _line(running)]
        while "GET /users?limit: 422" not in lines[-1]:
            lines.append(await _line(running))
    assert len(lines) <= 2, lines


async def _line(running: Running) -> str:
    """The next line that the process says of a request."""
    assert running.process.stderr is not None
    async with asyncio.timeout(SECONDS):
        while OF_ITSELF in (line := (await running.process.stderr.readline()).decode()):
            pass
        return line


async def _answer(url: str, request: bytes, *, whole: bool = False) -> bytes:
    """The first line of the answer, or all of it up to where the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(request)
        async with asyncio.timeout(SECONDS):
            return await (reader.read() if whole else reader.readline())
    finally:
        writer.close()
        await writer.wait_closed()
