"""Clients that ask for one page again and again, each as soon as it has the answer; prints what they saw.

`python -m benchmarks.http_load PORT CLIENTS SECONDS PATH [TOKEN]`: a closed loop that looks at no more of an
answer than it must, so that the server is what is measured.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import cast

import msgspec
import uvloop

from benchmarks.schedule import percentile


class Seen(msgspec.Struct, frozen=True):
    """What the clients saw: answers a second, their times in milliseconds, and those that were no 200.

    `cpu` is added by who knows the server: its processor time of one answer, in microseconds.
    """

    rate: float
    p50: float
    p99: float
    failed: int
    cpu: float | None = None


@dataclass(slots=True)
class Run:
    """One run of all clients."""

    request: bytes
    until: float
    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._head = b""
        self._missing: int | None = None
        self._asked = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the first time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are, but do not say so
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Asks again once the whole answer is there."""
        if self._missing is None:
            self._head += data
            self._missing = self._read_head()
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the name is asyncio's
        """A connection that ends early is a failure."""
        if not self.done.done():
            self._run.failed += 1
            self.done.set_result(None)

    def _read_head(self) -> int | None:
        """How much of the body is missing; None while the head is."""
        head, found, body = self._head.partition(b"\r\n\r\n")
        if not found:
            return None
        if not head.startswith(b"HTTP/1.1 200"):
            self._run.failed += 1
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return length - len(body)

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._run.request)

    def _finish(self) -> None:
        now = time.perf_counter()
        self._run.milliseconds.append(1000 * (now - self._asked))
        self._head, self._missing = b"", None
        if now < self._run.until:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()


async def _measure(port: int, clients: int, seconds: float, path: str, token: str = "") -> Seen:
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{shown}\r\n".encode()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    run = Run(request, began + seconds)
    made = [await loop.create_connection(lambda: Client(run), "127.0.0.1", port) for _ in range(clients)]
    await asyncio.gather(*(client.done for _, client in made))
    times = sorted(run.milliseconds)
    rate = len(times) / (time.perf_counter() - began)
    return Seen(rate, percentile(times, 50) or 0, percentile(times, 99) or 0, run.failed)


def main() -> None:
    """Measure, and print it as JSON."""
    port, clients, seconds, *asked = sys.argv[1:]
    seen = uvloop.run(_measure(int(port), int(clients), float(seconds), *asked))
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")


if __name__ == "__main__":
    main()
