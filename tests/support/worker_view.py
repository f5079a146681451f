"""What a worker's web view says of its rule, without a worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.rule import Rule
from stream_app.detectors import rule_of
from tests.support.detectors import rolling_mean

ROLLING_MEAN = rule_of(rolling_mean())


@asynccontextmanager
async def worker_view(rule: Rule = ROLLING_MEAN, port: int | None = None) -> AsyncIterator[str]:
    """The address of a view that knows this rule and nothing else, until the block ends."""

    async def detector(_request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(rule), content_type="application/json")

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    app = web.Application()
    app.router.add_get("/detector/", detector)
    app.router.add_get("/{path:.*}", elsewhere)
    async with TestServer(app, port=port) as server:
        yield str(server.make_url("")).rstrip("/")
