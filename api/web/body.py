"""Bodies of requests that change something."""

from aiohttp import hdrs, web

from api.web.problems import Problem

JSON, TOML = "application/json", "application/toml"


async def read_body(request: web.Request, *media: str) -> bytes:
    """The body, of at most 1 MiB, where it is of one of these types.

    A page of another origin can send neither of ours without asking first, which is refused.

    Raises:
        Problem: It is of another type.
        HTTPRequestEntityTooLarge: It is larger.
    """
    if request.content_type not in media or hdrs.CONTENT_TYPE not in request.headers:
        raise Problem(415, f"Send it as {' or '.join(media)}.")
    return await request.read()
