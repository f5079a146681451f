"""Programs that read a live feed, and a network between them and the API that can be cut."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 60


@dataclass(slots=True)
class Network:
    """Passes bytes on between clients and one port, unless it is cut."""

    target: int
    port: int = 0
    cut_off: bool = False
    received: bytes = b""
    """What came from the API since `received` was last emptied."""
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _stalled: set[asyncio.StreamWriter] = field(default_factory=set)

    def stall(self) -> None:
        """Bring nothing more over the connections that there are, and leave them open."""
        self._stalled |= self._writers
        self.received = b""

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self.cut_off = True
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        """Let clients through again."""
        self.cut_off, self.received = False, b""

    async def brings(self, expected: bytes) -> None:
        """Wait until the API has sent this."""
        async with asyncio.timeout(SECONDS):
            while expected not in self.received:
                self._came.clear()
                await self._came.wait()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        if self.cut_off:
            writer.close()
            return
        answers, requests = await asyncio.open_connection("127.0.0.1", self.target)
        both = {writer, requests}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, requests, both))
                tasks.create_task(self._pass_on(answers, writer, both, answer=True))
        finally:
            self._writers -= both

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
        *,
        answer: bool = False,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if writer in self._stalled:
                    continue
                writer.write(data)
                await writer.drain()
                if answer:
                    self.received += data
                    self._came.set()
        for one in both:
            one.close()


@asynccontextmanager
async def network(target: int) -> AsyncIterator[Network]:
    """A network to this port."""
    one = Network(target)
    async with await asyncio.start_server(one.connect, "127.0.0.1", 0) as server:
        one.port = server.sockets[0].getsockname()[1]
        yield one
        one.cut()


@dataclass(slots=True)
class FeedClient:
    """A program that prints each row that it gets, or its id."""

    ids: list[str] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, output: asyncio.StreamReader) -> None:
        """Take what it prints."""
        while line := await output.readline():
            self.ids.append(json.loads(line)["id"] if line.startswith(b"{") else line.decode().strip())
            self._came.set()

    async def has(self, count: int) -> None:
        """Wait until it has got so many rows."""
        async with asyncio.timeout(SECONDS):
            while len(self.ids) < count:
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def feed_client(command: Sequence[str | Path], folder: Path) -> AsyncIterator[FeedClient]:
    """A program while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # `go run` has a child
        limit=1 << 20,
    )
    assert process.stdout is not None
    client = FeedClient()
    reading = asyncio.create_task(client.read(process.stdout))
    try:
        yield client
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
        await reading
