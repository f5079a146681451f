"""Clients of an event stream, in one process; prints what they saw.

`python -m benchmarks.listeners PORT PATH READING SILENT EVENTS`: so many clients that read and so many that
never do. Prints `connected` when all have got their first bytes, and the outcome once the readers have
each seen so many events, or nothing more has come for a while.
"""

import asyncio
import contextlib
import resource
import socket
import sys
import time
from array import array
from dataclasses import dataclass, field
from typing import cast

import msgspec
import uvloop

from benchmarks.schedule import percentile

PATIENCE_SECONDS = 15
AT_ONCE = 200  # connections that are made side by side
NUMBER, SENT = b'"number":', b'"sent":'


class Heard(msgspec.Struct, frozen=True):
    """Events seen by all clients together, those that did not come or came twice, times in milliseconds.

    `refused` clients got no stream, `ended` ones lost theirs.
    """

    events: int
    wrong: int
    ended: int
    refused: int
    p50: float
    p99: float
    highest: float


@dataclass(slots=True)
class Run:
    """What all clients share."""

    milliseconds: "array[float]" = field(default_factory=lambda: array("d"))
    wrong: int = 0
    ended: int = 0
    refused: int = 0
    last: float = 0.0


class Listener(asyncio.Protocol):
    """One client that reads. Which of the numbered events it has seen is one bit each in `_seen`."""

    __slots__ = ("_rest", "_run", "_seen", "_transport", "opened")

    def __init__(self, run: Run, opened: asyncio.Event) -> None:
        self._run = run
        self._rest = b""
        self._seen = 0
        self.opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Takes the time of each event that is whole."""
        if not self.opened.is_set():
            self._run.refused += not data.startswith(b"HTTP/1.1 200")
            self.opened.set()
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        now = time.monotonic()
        for block in blocks:
            if (at := block.find(NUMBER)) >= 0:
                self._take(int(block[at + len(NUMBER) : block.index(b",", at)]), block, now)

    def _take(self, number: int, block: bytes, now: float) -> None:
        at = block.index(SENT) + len(SENT)
        sent = int(block[at : block.index(b",", at)]) / 1e9
        self._run.milliseconds.append(1000 * (now - sent))
        self._run.wrong += self._seen >> number & 1
        self._run.last = now
        self._seen |= 1 << number

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the name is asyncio's
        """Counts an end that is the server's."""
        self._run.ended += 1


async def _listen(port: int, request: bytes, run: Run) -> None:
    opened = asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: Listener(run, opened), "127.0.0.1", port)
    transport.write(request)
    await opened.wait()


async def _be_silent(port: int, request: bytes) -> socket.socket:
    """Asks, and reads nothing; with as little room to be sent to as the system allows."""
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.setblocking(False)  # noqa: FBT003  # it takes no name
    loop = asyncio.get_running_loop()
    await loop.sock_connect(silent, ("127.0.0.1", port))
    await loop.sock_sendall(silent, request)
    return silent


async def _measure(port: int, path: str, reading: int, silent: int, events: int) -> Heard:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    run = Run()
    sockets = [await _be_silent(port, request) for _ in range(silent)]
    for start in range(0, reading, AT_ONCE):
        those = range(min(AT_ONCE, reading - start))
        await asyncio.gather(*(_listen(port, request, run) for _ in those))
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    run.last = time.monotonic()
    while len(run.milliseconds) < reading * events and time.monotonic() - run.last < PATIENCE_SECONDS:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    for one in sockets:
        one.close()
    times = sorted(run.milliseconds)
    p50, p99, highest = (percentile(times, percent) or 0.0 for percent in (50, 99, 100))
    missing = reading * events - (len(times) - run.wrong)
    return Heard(len(times), run.wrong + missing, run.ended, run.refused, p50, p99, highest)


def main() -> None:
    """Measure, and print it as JSON."""
    port, path, *numbers = sys.argv[1:]
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    heard = uvloop.run(_measure(int(port), path, *map(int, numbers)))
    sys.stdout.buffer.write(msgspec.json.encode(heard) + b"\n")


if __name__ == "__main__":
    main()
