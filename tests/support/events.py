"""Reads an event stream as a browser does (HTML standard, 9.2.6)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.serving import PATIENCE, Client

POSITION = "position"
"""The event that says where a stream stands."""


@dataclass(slots=True)
class Event:
    """One dispatched event."""

    name: str
    data: Any
    id: str


@dataclass(slots=True)
class Stream:
    """The events of one response; `last_id` is what a browser would come back with."""

    response: aiohttp.ClientResponse
    last_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)

    async def next(self) -> Event:
        """The next event but positions; fails when none comes in good time."""
        async with asyncio.timeout(PATIENCE):
            return await self.next_whenever()

    async def next_whenever(self) -> Event:
        """The next event but positions, however long it takes."""
        while (event := await self.block()).name == POSITION:
            pass
        return event

    async def rows(self, count: int) -> list[Any]:
        """The data of the next events, which must all be rows."""
        events = [await self.next() for _ in range(count)]
        assert {event.name for event in events} <= {"message"}
        return [event.data for event in events]

    async def block(self) -> Event:
        """Reads up to the next blank line: an event, which has data."""
        name, data = "message", []
        while line := (await self._line()):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not key:
                self.comments.append(value)
            elif key == "event":
                name = value
            elif key == "data":
                data.append(value)
            elif key == "id":
                self.last_id = value
            elif key == "retry":
                self.retry = int(value)
        if name == POSITION:
            self.positions.append(self.last_id)
        return Event(name, json.loads("\n".join(data)), self.last_id)

    async def _line(self) -> str:
        line = await self.response.content.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line.decode().rstrip("\n")


@asynccontextmanager
async def listening(client: Client, path: str, last_id: str = "") -> AsyncIterator[Stream]:
    """An open stream that has got its opening event."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with client.get(path, headers=headers) as response:
        assert response.status == 200, await response.text()
        stream = Stream(response)
        async with asyncio.timeout(PATIENCE):
            assert await stream.block() == Event(POSITION, {}, stream.last_id)
        stream.positions.clear()
        yield stream
