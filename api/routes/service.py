"""How the process itself is: alive, ready, and its metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from api.metrics import Metrics
from api.web.params import NoParameters
from api.web.problems import Problem, Unavailable
from api.web.route import Route, json_response
from api.web.server import DRAINING
from infra.runtime.exposition import CONTENT_TYPE as METRICS_TYPE

Checks = Mapping[str, Callable[[], Awaitable[object]]]
"""By name of the dependency."""
_NEEDED = frozenset({"postgres", "kafka"})


class Health(msgspec.Struct, frozen=True):
    """Said while the process lives."""

    health: str = "ok"


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """One dependency: `up`, or `down` with what is wrong."""

    state: str
    detail: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests can be served: Postgres and Kafka have to answer, Redis need not."""

    ready: bool
    dependencies: dict[str, Dependency]


_UP = Dependency("up")
_NO_ANSWER = Dependency("down", "It did not answer in time.")


@dataclass(frozen=True)
class ServiceRoutes:
    """`/health`, `/ready` and `/metrics`. Each of `checks` returns when its dependency answers."""

    registry: Metrics
    checks: Checks
    seconds: float

    @Route("/health", "service_health", body=Health, probes=True)
    async def health(self, _request: web.Request, _: NoParameters) -> web.Response:
        """Whether it lives."""
        return json_response(Health())

    @Route("/ready", "service_ready", body=Readiness, depends=True, probes=True)
    async def ready(self, request: web.Request, _: NoParameters) -> web.Response:
        """Whether it can serve.

        Every dependency is asked at once, and the answer comes in good time whatever they do.
        """
        if request.app[DRAINING].begun:
            raise Unavailable("Stopping: whatever still comes is served, for a moment.")
        asked = {name: asyncio.create_task(_state(check)) for name, check in self.checks.items()}
        late = (await asyncio.wait(asked.values(), timeout=self.seconds))[1]
        for task in late:
            task.cancel()  # not waited for: giving a question up can take as long as the answer
        dependencies = {name: _NO_ANSWER if task in late else task.result() for name, task in asked.items()}
        down = [name for name, state in dependencies.items() if state.state == "down" and name in _NEEDED]
        if down:
            readiness = msgspec.to_builtins(Readiness(ready=False, dependencies=dependencies))
            raise Problem(503, f"Down: {', '.join(down)}.", headers={"Retry-After": "5"}, extra=readiness)
        return json_response(Readiness(ready=True, dependencies=dependencies))

    @Route("/metrics", "service_metrics", media=METRICS_TYPE, probes=True)
    async def metrics(self, _request: web.Request, _: NoParameters) -> web.Response:
        """For Prometheus."""
        return web.Response(body=self.registry.text(), headers={"Content-Type": METRICS_TYPE})


async def _state(check: Callable[[], Awaitable[object]]) -> Dependency:
    try:
        await check()
    except Unavailable as down:
        return Dependency("down", down.detail)
    return _UP
