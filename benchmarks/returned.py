"""Clients that come back to an event stream, in one process; prints when all had what they missed.

`python -m benchmarks.returned PORT LAST_EVENT_ID EVENTS`: a client for each path on the standard input, which
has to receive EVENTS events that it missed.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field

import msgspec
import uvloop

AT_ONCE = 100  # connections that are made side by side
PATIENCE_SECONDS = 120
ROW = b'\ndata: {"id":'  # events without rows have other data


class Returned(msgspec.Struct, frozen=True):
    """The time until the last client had all, what was sent, and events that did not come or came twice."""

    seconds: float
    megabytes: float
    wrong: int


@dataclass(slots=True)
class Reader(asyncio.Protocol):
    """One client: counts rows, as there may be millions."""

    missed: int
    rows: int = 0
    size: int = 0
    last: float = 0.0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    _rest: bytes = b""

    def data_received(self, data: bytes) -> None:
        """Counts."""
        self.size += len(data)
        data = self._rest + data
        self.rows += data.count(ROW)
        self._rest = data[1 - len(ROW) :]
        if self.rows >= self.missed and not self.done.is_set():
            self.last = time.monotonic()
            self.done.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the name is asyncio's
        """It lacks what has not come."""
        self.done.set()


async def _come_back(port: int, path: str, last_id: str, missed: int) -> Reader:
    loop = asyncio.get_running_loop()
    transport, reader = await loop.create_connection(lambda: Reader(missed), "127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last_id}\r\n\r\n"
    transport.write(request.encode())
    return reader


async def _measure(port: int, last_id: str, missed: int, paths: list[str]) -> Returned:
    start, readers = time.monotonic(), list[Reader]()
    for at in range(0, len(paths), AT_ONCE):
        some = paths[at : at + AT_ONCE]
        readers += await asyncio.gather(*(_come_back(port, path, last_id, missed) for path in some))
    await asyncio.wait([asyncio.ensure_future(one.done.wait()) for one in readers], timeout=PATIENCE_SECONDS)
    await asyncio.sleep(1)  # for what comes twice
    return Returned(
        max(one.last for one in readers) - start,
        sum(one.size for one in readers) / 1e6,
        sum(abs(one.rows - missed) for one in readers),
    )


def main() -> None:
    """Measure, and print it as JSON."""
    port, last_id, missed = sys.argv[1:]
    returned = uvloop.run(_measure(int(port), last_id, int(missed), sys.stdin.read().split()))
    sys.stdout.buffer.write(msgspec.json.encode(returned) + b"\n")


if __name__ == "__main__":
    main()
