"""How the process itself is: alive, ready, and its metrics."""

from dataclasses import dataclass

import msgspec
from aiohttp import web

from api.metrics import Metrics
from api.web.params import NoParameters
from api.web.problems import Problem, Unavailable
from api.web.route import Route, json_response
from api.web.server import DRAINING
from infra.runtime.exposition import CONTENT_TYPE as METRICS_TYPE
from infra.runtime.health import Dependencies, Health, Readiness


@dataclass(frozen=True)
class ServiceRoutes:
    """`/health`, `/ready` and `/metrics`."""

    registry: Metrics
    dependencies: Dependencies

    @Route("/health", "service_health", body=Health, probes=True)
    async def health(self, _request: web.Request, _: NoParameters) -> web.Response:
        """Whether it lives."""
        return json_response(Health("ok"))

    @Route("/ready", "service_ready", body=Readiness, depends=True, probes=True)
    async def ready(self, request: web.Request, _: NoParameters) -> web.Response:
        """Whether it can serve.

        Every dependency is asked at once, and the answer comes in good time whatever they do.
        """
        if request.app[DRAINING].begun:
            raise Unavailable("Stopping: whatever still comes is served, for a moment.")
        await self.dependencies.look()
        readiness = Readiness(not self.dependencies.down, self.dependencies.states)
        if not readiness.ready:
            down, extra = ", ".join(self.dependencies.down), msgspec.to_builtins(readiness)
            raise Problem(503, f"Down: {down}.", headers={"Retry-After": "5"}, extra=extra)
        return json_response(readiness)

    @Route("/metrics", "service_metrics", media=METRICS_TYPE, probes=True)
    async def metrics(self, _request: web.Request, _: NoParameters) -> web.Response:
        """For Prometheus."""
        return web.Response(body=self.registry.text(), headers={"Content-Type": METRICS_TYPE})
