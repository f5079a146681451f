"""Who asks for what: all routes of an application, their addresses, and the header with a token."""

import functools
import re

from aiohttp import hdrs

from api.web.route import Route
from tests.support.rows import user
from tests.support.serving import Client


def bearer(secret: str) -> dict[str, str]:
    return {hdrs.AUTHORIZATION: f"Bearer {secret}"}


def routes(client: Client) -> list[Route]:
    assert client.app is not None
    handlers = (route.handler for route in client.app.router.routes())
    found = {id(one.args[0]): one.args[0] for one in handlers if isinstance(one, functools.partial)}
    assert len(found) > 30
    return list(found.values())


def address(route: Route) -> str:
    parts = {"user_id": user(1), "id": user(9), "file": "style.css", "name": "blocked"}
    return re.sub(r"{(\w+)}", lambda found: parts[found[1]], route.path)
