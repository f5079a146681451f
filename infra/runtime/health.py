"""How a process is: whether what it depends on answers, whether its work gets on; what probes are told."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import asyncpg
import msgspec
from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr
from redis.asyncio import Redis

from infra.runtime import postgres, redis
from infra.runtime.background import background
from infra.runtime.cli_errors import StopError
from infra.runtime.exposition import CONTENT_TYPE
from infra.runtime.health_settings import HealthSettings
from infra.runtime.kafka import ClientSettings, admin_client, describe_cluster
from infra.runtime.retry import is_trying_again

LOOK_SECONDS = 2.0  # between two looks: with the time that an answer may take, a change is seen within 5 s
ANSWER_SECONDS = 3.0  # that a service may take to answer worker or ingest before it counts as down
_GIVEN_UP_SECONDS = 10.0
_MOST_SECONDS = 10.0  # between two looks: a process that was stopped for an hour has not stood still for one

Checks = Mapping[str, Callable[[], Awaitable[object]]]
"""By name of a dependency what returns when it answers, and raises what is wrong when it does not."""
Works = Mapping[int | str, tuple[int, int]]
"""By part of the work, a partition or a name: what changes with each step, and how much is left to do."""
ProbeAnswer = tuple[int, bytes, str]
"""What a probe is told: status, body and content type."""


class ProbePortError(StopError):
    """A port for probes cannot be listened on; the message names the variable."""


class DownError(Exception):
    """A dependency does not answer, or not as it should; the message says why, without any secret."""


class Stalled(msgspec.Struct, frozen=True):
    """A part of the work that stands still and could go on, since when, and how much of it is left."""

    part: int | str
    since: datetime
    left: int


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the process is alive (`ok`: it gets on, has nothing to do, or waits for a service)."""

    health: str
    stalled: list[Stalled] = []


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """One dependency: `up`, or `down` with what is wrong, since when, and whether it is needed."""

    state: str
    detail: str = ""
    since: datetime | None = None
    needed: bool = True


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether all is there that it needs: Postgres and Kafka have to answer, Redis need not."""

    ready: bool
    dependencies: dict[str, Dependency]
    detail: str = ""


_LATE = Dependency("down", "It did not answer in time.")


def dependency_gauge(registry: CollectorRegistry) -> Gauge:
    """The metric of all programs that says which of their dependencies answer."""
    text = "Whether a service that this process depends on answers: 1, or 0 where it does not."
    return Gauge("txnwatch_dependency_up", text, ["dependency"], registry=registry)


class Dependencies:
    """What the process depends on, asked in `seconds`; without what is `needed` it is not ready."""

    def __init__(self, checks: Checks, needed: Collection[str], seconds: float, gauge: Gauge) -> None:
        self._checks, self._needed, self._seconds, self._gauge = checks, needed, seconds, gauge
        self._asked: dict[str, asyncio.Task[Dependency]] = {}
        self.states = dict.fromkeys(checks, Dependency("down", "It was not asked yet."))
        """Each as it was when it was asked last."""

    @property
    def down(self) -> list[str]:
        """Those that are needed and do not answer."""
        return [name for name, one in self.states.items() if one.state == "down" and name in self._needed]

    async def look(self) -> None:
        """Ask all at once; it takes `seconds` at the most, whatever they do."""
        # What is not answered by then is not asked again beside itself: giving it up can take as long.
        for name, check in self._checks.items():
            if name not in self._asked:
                self._asked[name] = asyncio.create_task(_state(check))
        asked = dict(self._asked)
        done = (await asyncio.wait(asked.values(), timeout=self._seconds))[0]
        self._asked = {name: task for name, task in self._asked.items() if task not in done}
        for name, task in asked.items():
            self._note(name, task.result() if task in done else _LATE)

    async def give_up(self) -> None:
        """Ask no more; what was asked is waited for no longer than a moment."""
        for task in self._asked.values():
            task.cancel()
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=1)
        for check in self._checks.values():
            if isinstance(check, ServiceCheck):
                await check.aclose()

    def _note(self, name: str, found: Dependency) -> None:
        self._gauge.labels(name).set(found.state == "up")
        if found.state == "down":
            since, needed = self.states[name].since or datetime.now(UTC), name in self._needed
            found = msgspec.structs.replace(found, since=since, needed=needed)
        self.states[name] = found


async def _state(check: Callable[[], Awaitable[object]]) -> Dependency:
    try:
        async with asyncio.timeout(_GIVEN_UP_SECONDS):
            await check()
    except DownError as error:
        return Dependency("down", str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it cannot be used
        why = postgres.reason(error) or redis.reason(error)
        return Dependency("down", f"It does not answer: {why}." if why else "It does not answer.")
    return Dependency("up")


class Headway:
    """Parts of the work, looked at again and again; one counts as stalled after `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._looked_at = seconds, clock, clock()
        self._works: Works = {}
        self._still: dict[int | str, float] = {}
        self.moved_at: dict[int | str, float] = {}
        """When each part last got on, had nothing to do or waited for a service, in Unix time."""

    def look(self, works: Works, *, waits: bool) -> None:
        """Take note of how far each part is, and whether a service is waited for."""
        passed = min(self._clock() - self._looked_at, _MOST_SECONDS)
        former, self._works, self._looked_at = self._works, works, self._clock()
        before = {part: done for part, (done, left) in former.items() if left and not waits}
        stands = {part for part, (done, left) in works.items() if left and before.get(part) == done}
        self._still = {part: self._still[part] + passed if part in stands else 0.0 for part in works}
        self.moved_at = {part: self.moved_at[part] if part in stands else time.time() for part in works}

    def stalled(self) -> list[Stalled]:
        """The parts that have stood still for too long."""
        now, works = datetime.now(UTC), self._works
        still = {part: seconds for part, seconds in self._still.items() if seconds >= self._seconds}
        return [Stalled(part, now - timedelta(seconds=its), works[part][1]) for part, its in still.items()]


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process says of itself. `hindered` gives what keeps it from its work, if anything."""

    dependencies: Dependencies
    headway: Headway
    metrics: Callable[[], bytes]
    work: Callable[[], Works]
    hindered: Callable[[], str]

    @property
    def answers(self) -> dict[str, Callable[[], ProbeAnswer]]:
        """By path what answers."""
        metrics = lambda: (200, self.metrics(), CONTENT_TYPE)  # noqa: E731
        return {"/health": self.health, "/ready": self.ready, "/metrics": metrics}

    @asynccontextmanager
    async def watched(self, settings: HealthSettings, *, first: float = 0) -> AsyncIterator[None]:
        """Look, first after so many seconds, and answer on TXNWATCH_PROBE_PORT, while the block runs."""
        place = settings.probe_host, settings.probe_port, "TXNWATCH_PROBE_PORT"
        async with background(self._watch(first), name="health"), self.answering(*place):
            yield

    async def _watch(self, first: float) -> NoReturn:
        try:
            await asyncio.sleep(first)
            while True:
                await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self.dependencies.give_up()

    async def look(self) -> None:
        """Take note of how everything is."""
        await self.dependencies.look()
        self.headway.look(self.work(), waits=bool(self.dependencies.down) or is_trying_again())

    def health(self) -> ProbeAnswer:
        """Whether it is alive; 503 with what stands still, and since when."""
        stalled = self.headway.stalled()
        body = msgspec.json.encode(Health("stalled" if stalled else "ok", stalled))
        return 503 if stalled else 200, body, "application/json"

    def ready(self) -> ProbeAnswer:
        """Whether it does its work; 503 with what is in the way, and since when."""
        detail, states = self.hindered(), self.dependencies.states
        readiness = Readiness(not (self.dependencies.down or detail), states, detail)
        return 200 if readiness.ready else 503, msgspec.json.encode(readiness), "application/json"

    @asynccontextmanager
    async def answering(self, host: str, port: int, variable: str) -> AsyncIterator[None]:
        """Answer probes on this port while the block runs, unless it is 0.

        Raises:
            ProbePortError: The port is taken, or the host none of this machine's.
        """
        from aiohttp import web  # noqa: PLC0415 - of who serves alone

        async def answer(request: web.Request) -> web.Response:
            status, body, media = self.answers[request.path]()
            return web.Response(status=status, body=body, headers={"Content-Type": media})

        app = web.Application()
        app.add_routes([web.get(path, answer) for path in self.answers])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            try:
                await (web.TCPSite(runner, host, port).start() if port else asyncio.sleep(0))
            except OSError as error:
                raise ProbePortError(f"port {port} of {host}: {error.strerror}: {variable}") from None
            yield
        finally:
            await runner.cleanup()


class ServiceCheck:
    """Asks over one connection, from which `begin` yields after each answer; after a failure over another."""

    def __init__(self, begin: Callable[[], AsyncGenerator[None]]) -> None:
        self._begin, self._asking = begin, begin()

    async def __call__(self) -> None:
        """Return when the service has answered; otherwise raise what is wrong."""
        try:
            await anext(self._asking)
        except BaseException:
            self._asking = self._begin()
            raise

    async def aclose(self) -> None:
        """End the connection."""
        with suppress(RuntimeError):  # it is asked at this moment, and ends with that
            await self._asking.aclose()


async def kafka_answers(settings: ClientSettings) -> AsyncGenerator[None]:
    """A broker says which topics there are."""
    async with admin_client(settings, "health") as admin:
        while True:
            await describe_cluster(admin, [])
            yield


async def postgres_answers(url: SecretStr) -> AsyncGenerator[None]:
    """Postgres answers."""
    connection = await asyncpg.connect(url.get_secret_value(), timeout=_GIVEN_UP_SECONDS)
    try:
        while True:
            await connection.fetchval("SELECT 1", timeout=_GIVEN_UP_SECONDS)
            yield
    finally:
        connection.terminate()


async def redis_answers(url: SecretStr) -> AsyncGenerator[None]:
    """Redis answers."""
    async with Redis.from_url(url.get_secret_value()) as client:
        while True:
            await client.ping()
            yield
