"""Answers of servers that are not ours."""

import aiohttp


async def body_within(answer: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The whole body; None where it has more than so many bytes.

    `answer.content.read(most)` would give what has come by then: of a large body a part.
    """
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most:
            return None
    return bytes(body)
