"""What stands before Postgres and Redis where they are asked by TLS: neither's embedded server speaks it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]
_SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL's protocol, 54.7
_REFUSAL = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"


@asynccontextmanager
async def redis_by_tls(connect: Connect, context: SSLContext) -> AsyncIterator[int]:
    """A port that takes connections by TLS, and passes what they say on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass_on((reader, writer), await connect())

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def postgres_by_tls(connect: Connect, context: SSLContext) -> AsyncIterator[int]:
    """A port that asks for TLS as Postgres does, and refuses who wants none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
                await _pass_on((reader, writer), await connect())
            else:
                writer.write(b"E" + struct.pack("!I", 4 + len(_REFUSAL)) + _REFUSAL)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _pass_on(one: Streams, other: Streams) -> None:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    await asyncio.gather(copy(one[0], other[1]), copy(other[0], one[1]))
