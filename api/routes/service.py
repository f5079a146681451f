"""How the process itself is: alive, ready, and its metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from api.metrics import CONTENT_TYPE as METRICS_TYPE
from api.metrics import Metrics
from api.web.params import NoParameters
from api.web.problems import Problem, Unavailable
from api.web.route import Route, json_response

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
_READINESS = Readiness(
    ready=True,
    dependencies={"kafka": _UP, "postgres": _UP, "redis": Dependency("down", "Redis does not answer.")},
)


class ServiceRoutes:
    """`/health`, `/ready` and `/metrics`. Each of `checks` returns when its dependency answers."""

    def __init__(
        self, metrics: Metrics, checks: Mapping[str, Callable[[], Awaitable[object]]], *, seconds: float
    ) -> None:
        self._metrics = metrics
        self._checks = checks
        self._seconds = seconds

    @Route("/health", "service_health", body=Health, example=Health())
    async def health(self, _request: web.Request, _: NoParameters) -> web.Response:
        """Whether it lives."""
        return json_response(Health())

    @Route("/ready", "service_ready", body=Readiness, example=_READINESS, depends=True)
    async def ready(self, _request: web.Request, _: NoParameters) -> web.Response:
        """Whether it can serve.

        Every dependency is asked at once, and the answer comes in good time whatever they do.
        """
        asked = {name: asyncio.create_task(_state(check)) for name, check in self._checks.items()}
        late = (await asyncio.wait(asked.values(), timeout=self._seconds))[1]
        for task in late:
            task.cancel()  # not waited for: giving a question up can take as long as the answer
        dependencies = {name: _NO_ANSWER if task in late else task.result() for name, task in asked.items()}
        down = [name for name, state in dependencies.items() if state.state == "down" and name in _NEEDED]
        if down:
            readiness = msgspec.to_builtins(Readiness(ready=False, dependencies=dependencies))
            raise Problem(503, f"Down: {', '.join(down)}.", headers={"Retry-After": "5"}, extra=readiness)
        return json_response(Readiness(ready=True, dependencies=dependencies))

    @Route("/metrics", "service_metrics", media=METRICS_TYPE)
    async def metrics(self, _request: web.Request, _: NoParameters) -> web.Response:
        """For Prometheus."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": METRICS_TYPE})


async def _state(check: Callable[[], Awaitable[object]]) -> Dependency:
    try:
        await check()
    except Unavailable as down:
        return Dependency("down", down.detail)
    return _UP
