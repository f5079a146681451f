"""What a worker's web views say of its rule, without a worker."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.rule import Rule
from schemas.window_view import FlagStarts
from stream_app.detectors import rule_of
from tests.support.detectors import rolling_mean

ROLLING_MEAN = rule_of(rolling_mean())


@asynccontextmanager
async def worker_view(
    rule: Rule = ROLLING_MEAN,
    port: int | None = None,
    *,
    starts: Mapping[str, Mapping[str, FlagStarts]] | None = None,
) -> AsyncIterator[str]:
    """The address of views that know this rule, and of these users where flags start by currency."""

    async def detector(_request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(rule), content_type="application/json")

    async def flags_from(request: web.Request) -> web.Response:
        if (known := (starts or {}).get(request.match_info["user_id"])) is None:
            raise web.HTTPNotFound
        its = known[request.query["currency"]]
        return web.Response(body=msgspec.json.encode(its), content_type="application/json")

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    app = web.Application()
    app.router.add_get("/detector/", detector)
    app.router.add_get("/flags_from/{user_id}/", flags_from)
    app.router.add_get("/{path:.*}", elsewhere)
    async with TestServer(app, port=port) as server:
        yield str(server.make_url("")).rstrip("/")
