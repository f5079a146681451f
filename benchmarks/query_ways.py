"""Ways to get a page of rows: ours and the old one over HTTP, and the bare round trip to Postgres."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import aiohttp
import asyncpg
import msgspec

from benchmarks.bed import Bed, free_port
from benchmarks.contenders import TXNWATCH
from benchmarks.environments import ROOT, UnavailableError, peer_python
from benchmarks.http_load import Seen
from benchmarks.process import Command, Running, running, tail
from benchmarks.range_rows import FROM, LIMIT, ROWS, TO, USER, USERS
from infra.access import store
from infra.access.secrets import new_token
from infra.access.store import NewToken
from schemas.access import Scope

OURS, OLD, BARE, GUARDED = "txnwatch", "FastAPI + SQLModel", "bare SQL", "txnwatch, with a token"
TIMES_ASKED = 50
READY_SECONDS = 60
PATH = "/transactions?" + urlencode(
    {"user_id": USER, "from_date": FROM.isoformat(), "to_date": TO.isoformat(), "limit": LIMIT}
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get the page; `measure` runs it with so many clients for so many seconds."""

    name: str
    measure: Callable[[int, float], Awaitable[Seen]]


@contextlib.asynccontextmanager
async def ways(bed: Bed, run: str, url: str, notes: list[str]) -> AsyncIterator[list[Way]]:
    """All that can run here; `notes` gets why one cannot."""
    async with contextlib.AsyncExitStack() as stack:
        ways = [
            Way(OURS, await stack.enter_async_context(_served(bed, run, "ours", _ours(bed, url)))),
            Way(GUARDED, await stack.enter_async_context(_guarded(bed, run, url))),
            Way(BARE, lambda clients, seconds: _load(bed, run, "sql_load", url, clients, seconds)),
        ]
        try:
            old = await stack.enter_async_context(_served(bed, run, "old", _old(url)))
        except UnavailableError as error:
            notes.append(f"{OLD} skipped: {error}")
        else:
            ways.append(Way(OLD, old))
        yield ways


Start = Callable[[int], tuple[list[Any], dict[str, str]]]


def _ours(bed: Bed, url: str, **more: str) -> Start:
    def start(port: int) -> tuple[list[Any], dict[str, str]]:
        settings = {"POSTGRES_URL": url, "TXNWATCH_QUERY_CACHE_SECONDS": "0", "TXNWATCH_API_PORT": str(port)}
        return [TXNWATCH, "api"], {**bed.addresses.as_env(), **settings, **more}

    return start


@contextlib.asynccontextmanager
async def _guarded(bed: Bed, run: str, url: str) -> AsyncIterator[Callable[[int, float], Awaitable[Seen]]]:
    """Ours, which asks who asks and counts how often."""
    token = new_token("txn")
    connection = await asyncpg.connect(url)
    await store.add_token(connection, NewToken(run, token, [Scope.READ], None, None), "benchmark")
    await connection.close()
    limits = {"TXNWATCH_API_RATE": "1000000", "TXNWATCH_API_BURST": "1000000"}
    start = _ours(bed, url, TXNWATCH_API_LOGIN="required", **limits)
    async with _served(bed, run, "guarded", start, token) as measure:
        yield measure


def _old(url: str) -> Start:
    def start(port: int) -> tuple[list[Any], dict[str, str]]:
        arguments = ["-m", "uvicorn", "benchmarks.peers.old_api:app", "--port", str(port), "--no-access-log"]
        peer = {
            "PEER_POSTGRES": url.replace("postgresql://", "postgresql+psycopg://"),
            "PYTHONPATH": str(ROOT),
        }
        return [peer_python("old_api"), *arguments], peer

    return start


@contextlib.asynccontextmanager
async def _served(
    bed: Bed, run: str, name: str, start: Start, *token: str
) -> AsyncIterator[Callable[[int, float], Awaitable[Seen]]]:
    """A server that answers the page, and what measures it."""
    port = free_port()
    arguments, environment = start(port)

    with running(Command(arguments, environment, bed.scratch(run) / f"{name}.log")) as server:

        async def measure(clients: int, seconds: float) -> Seen:
            before = server.cpu_seconds()
            seen = await _load(bed, run, "http_load", port, clients, seconds, PATH, *token)
            spent = 1e6 * (server.cpu_seconds() - before)
            return msgspec.structs.replace(seen, cpu=spent / (seen.rate * seconds))

        await _when_it_answers(port, server, *token)
        await measure(4, 1.0)  # its plans and connections are made
        yield measure


async def _load(bed: Bed, run: str, module: str, *arguments: object) -> Seen:
    """What the clients of a process of their own saw."""
    log = bed.scratch(run) / f"{module}-{time.monotonic_ns()}.log"
    command: list[str | Path] = [Path(sys.executable), "-m", f"benchmarks.{module}", *map(str, arguments)]
    with running(Command(command, {"PYTHONPATH": str(ROOT)}, log)) as process:
        await process.finish()
    return msgspec.json.decode(tail(log, lines=1), type=Seen)


async def _when_it_answers(port: int, server: Running, token: str = "") -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        while True:
            server.check()
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get(PATH, headers=headers) as response:
                    rows = (await response.json())["transactions"]
                    assert len(rows) == LIMIT  # noqa: S101
                    return
            await asyncio.sleep(0.1)


async def last_against_first(bed: Bed, run: str, url: str) -> float:
    """The time of the last full page of all of a user's rows over that of the first, medians of 50."""
    port = free_port()
    arguments, environment = _ours(bed, url)(port)
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(running(Command(arguments, environment, bed.scratch(run) / "pages.log")))
        await _when_it_answers(port, server)
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        paths = [PATH]
        for _ in range(ROWS // USERS // LIMIT - 1):
            async with client.get(paths[-1]) as response:
                paths.append(f"{PATH}&cursor={(await response.json())['cursor']}")
        took: dict[str, list[float]] = {paths[0]: [], paths[-1]: []}
        for _ in range(TIMES_ASKED):
            for path, times in took.items():
                began = time.perf_counter()
                async with client.get(path) as response:
                    assert len((await response.json())["transactions"]) == LIMIT  # noqa: S101
                times.append(time.perf_counter() - began)
    first, last = (median(times) for times in took.values())
    return last / first
