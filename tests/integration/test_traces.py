"""A worker's traces as a collector gets them."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream_app.metrics import STEPS
from tests.support.installation import Installation, ended, until
from tests.support.traffic import traffic


@asynccontextmanager
async def collector(spans: Counter[str]) -> AsyncIterator[str]:
    """Where traces are sent while the block runs; it counts the spans by their names."""

    async def take(request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        spans.update(
            span.name for of in sent.resource_spans for scope in of.scope_spans for span in scope.spans
        )
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/traces"))


@pytest.mark.slow
async def test_a_worker_sends_a_trace_of_each_batch(environment: dict[str, str]) -> None:
    installation, spans = Installation(environment), Counter[str]()
    await installation.send_transactions(traffic(500))

    async with collector(spans) as url:
        with installation.worker(TXNWATCH_TRACES_URL=url) as worker:
            await until(installation.finished)
            assert await ended(worker) == 0

    batches = spans[f"process {installation.transactions}"]
    assert batches > 0
    assert {spans[step] for step in STEPS} == {batches}
