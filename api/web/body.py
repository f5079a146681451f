"""Bodies of requests that change something."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import hdrs, web

from api.web.problems import Problem

NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: also for bytes that are no UTF-8, and for what is nested too deep."""
JSON, TOML, NDJSON = "application/json", "application/toml", "application/x-ndjson"
_SECONDS = 30.0
"""For a body to come: whoever sends a byte a minute would keep a connection for ever, even to log in."""


async def read_body(request: web.Request, *media: str) -> bytes:
    """The body, of at most 1 MiB, where it is of one of these types.

    A page of another origin can send neither of ours without asking first, which is refused.

    Raises:
        Problem: It is of another type, takes too long, or is not packed as its `Content-Encoding` says.
        HTTPRequestEntityTooLarge: It is larger.
    """
    if request.content_type not in media or hdrs.CONTENT_TYPE not in request.headers:
        raise Problem(415, f"Send it as {' or '.join(media)}.")
    if request.content.is_eof() and not request.content.exception():
        return await request.read()
    return await _rest(request)


async def _rest(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Problem(408, f"The body took longer than {_SECONDS:g} s.") from None
    except web.RequestPayloadError:
        request.content.feed_eof()  # aiohttp would read on, and log the same with a traceback
        request.protocol.close()
        raise Problem(400, "The body is not packed as its Content-Encoding says.") from None


@dataclass(slots=True)
class Room:
    """How many bytes are in work, of at most so many."""

    most: int
    taken: int = field(init=False, default=0)

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Room for so many bytes, while the block runs.

        Raises:
            Problem: There is none.
        """
        if self.taken and self.taken + size > self.most:
            raise Problem(429, "Too many transactions are in work.", headers={"Retry-After": "1"})
        self.taken += size
        try:
            yield
        finally:
            self.taken -= size
