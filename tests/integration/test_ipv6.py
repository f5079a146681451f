"""Kafka is found at an IPv6 address by every command."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from tests.support.api_process import listening
from tests.support.installation import Installation, until


@asynccontextmanager
async def forwarded(address: str) -> AsyncIterator[str]:
    """A port of ::1 whose connections end at this address."""
    host, _, port = address.rpartition(":")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        with suppress(ConnectionError):
            ways = [asyncio.ensure_future(copy(reader, back)), asyncio.ensure_future(copy(there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        back.close()
        writer.close()

    async with await asyncio.start_server(connect, "::1") as server:
        yield f"[::1]:{server.sockets[0].getsockname()[1]}"


async def test_kafka_is_found_at_an_ipv6_address(environment: dict[str, str], tmp_path: Path) -> None:
    async with forwarded(environment["KAFKA_BOOTSTRAP_SERVERS"]) as address:
        # The first one is no broker's: the list is read to its second address.
        variables = {**environment, "KAFKA_BOOTSTRAP_SERVERS": f"[::1]:1, {address}"}
        installation = Installation(variables)

        code, said = await installation.completed("txnwatch", "produce", "--generate", "50", "--rate", "1000")
        assert code == 0, said
        with installation.worker():
            await until(installation.finished)
            async with (
                listening(variables, tmp_path) as api,
                aiohttp.ClientSession(api.url) as session,
                session.get("/ready") as response,
            ):
                assert response.status == 200, await response.text()
        for command in ("topics", "dlq list", "mirror rebuild", "rows restore"):
            code, said = await installation.completed("txnwatch", *command.split())
            assert code == 0, said
        assert len(await installation.rows()) == 50
