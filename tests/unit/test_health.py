"""What probes are told, from what was found: services of the test's own that answer, hang and come back."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from infra.ingest.metrics import IngestCounts
from infra.ingest.ordering import Arrived
from infra.ingest.running import Ingest
from infra.ingest.settings import Settings
from infra.runtime.health import (
    Dependencies,
    DownError,
    Headway,
    ProbeAnswer,
    ProbePortError,
    Vitals,
    dependency_gauge,
)
from infra.runtime.retry import is_trying_again, retried
from tests.support.services import free_port


class Service:
    """Answers while `up` is set."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        await self.up.wait()


async def refused() -> None:
    raise DownError("It refuses the password.")


async def broken() -> None:
    raise ValueError("postgresql://someone:secret@localhost")


def dependencies(
    needed: tuple[str, ...], registry: CollectorRegistry, **checks: Callable[[], Awaitable[object]]
) -> Dependencies:
    return Dependencies(checks, needed, 0.05, dependency_gauge(registry))


async def test_a_service_that_hangs_is_down_since_then_and_is_asked_once_until_it_answers() -> None:
    registry, kafka = CollectorRegistry(), Service()
    watched = dependencies(("kafka",), registry, kafka=kafka.check, redis=refused)

    def up(name: str) -> float | None:
        return registry.get_sample_value("txnwatch_dependency_up", {"dependency": name})

    await watched.look()
    assert (not watched.down, up("kafka"), up("redis")) == (True, 1, 0)  # Redis is not needed
    kafka.up.clear()
    await watched.look()
    since = watched.states["kafka"].since
    await watched.look()
    found = watched.states["kafka"]
    assert (found.state, found.detail, found.since) == ("down", "It did not answer in time.", since)
    assert (not watched.down, watched.down, up("kafka"), kafka.asked) == (False, ["kafka"], 0, 2)
    kafka.up.set()
    await watched.look()
    assert (not watched.down, up("kafka")) == (True, 1)
    assert watched.states["redis"].detail == "It refuses the password."
    kafka.up.clear()
    await watched.look()
    assert watched.states["kafka"].since != since
    await watched.give_up()


async def test_what_nobody_foresaw_is_told_without_its_words() -> None:
    watched = dependencies(("postgres",), CollectorRegistry(), postgres=broken)
    await watched.look()

    assert watched.states["postgres"].detail == "It does not answer."


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_and_does_not_move_stalls_unless_a_service_is_waited_for() -> None:
    clock = Clock()
    headway = Headway(10, clock)

    def after(seconds: float, done: int, left: int, *, waits: bool = False) -> list[tuple[Any, int]]:
        clock.now += seconds
        headway.look({3: (done, left)}, waits=waits)
        return [(one.part, one.left) for one in headway.stalled()]

    assert after(0, 7, 5) == after(9, 7, 5) == []
    assert after(2, 7, 6) == [(3, 6)]
    assert after(1, 8, 6) == []  # it moves
    assert after(9, 8, 6) == after(2, 8, 6, waits=True) == after(9, 8, 6) == []
    assert after(1, 8, 6) == [(3, 6)]
    assert after(1, 8, 0) == after(3600, 8, 0) == []  # nothing is left
    assert after(1, 8, 1) == after(9, 8, 1) == []
    headway.look({}, waits=False)  # another has the partition
    assert headway.stalled() == []


def test_a_process_that_was_frozen_itself_has_not_stood_still_for_so_long() -> None:
    clock = Clock()
    headway = Headway(30, clock)
    for clock.now in (0, 2, 3600, 3602):
        headway.look({0: (7, 1)}, waits=False)

    assert headway.stalled() == []


def vitals(kafka: Service, hindered: str = "") -> Vitals:
    watched = dependencies(("kafka",), CollectorRegistry(), kafka=kafka.check)
    return Vitals(watched, Headway(0.2), bytes, lambda: {3: (7, 5)}, lambda: hindered)


def told(answer: ProbeAnswer) -> tuple[int, dict[str, Any]]:
    return answer[0], json.loads(answer[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of the code under test
            await asyncio.sleep(0.01)


async def watching(monkeypatch: pytest.MonkeyPatch, its: Vitals) -> asyncio.Task[None]:
    monkeypatch.setattr("infra.runtime.health.LOOK_SECONDS", 0.01)
    return asyncio.create_task(its._watch(0))  # noqa: SLF001


async def test_a_partition_that_hangs_is_named_and_one_that_waits_for_kafka_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = Service()
    its = vitals(kafka)
    watch = await watching(monkeypatch, its)
    await until(lambda: its.health()[0] == 503)
    status, body = told(its.health())
    assert (body["health"], [(one["part"], one["left"]) for one in body["stalled"]]) == (
        "stalled",
        [(3, 5)],
    )
    assert body["stalled"][0]["since"].endswith("Z")
    assert its.ready()[0] == 200

    kafka.up.clear()
    await until(lambda: its.ready()[0] == 503)
    status, body = told(its.health())
    assert (status, body) == (200, {"health": "ok"})
    status, body = told(its.ready())
    assert (status, body["dependencies"]["kafka"]["state"]) == (503, "down")
    kafka.up.set()
    await until(lambda: its.ready()[0] == 200)
    watch.cancel()
    await asyncio.wait([watch])


async def test_what_tries_again_waits_and_what_is_in_the_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    away = True

    async def attempt() -> None:
        if away:
            raise ConnectionError

    kafka = Service()
    trying = asyncio.create_task(retried(attempt, lambda _: True, what="Postgres"))
    await until(is_trying_again)
    its = vitals(kafka, hindered="Stopping.")
    watch = await watching(monkeypatch, its)
    began = time.monotonic()
    await until(lambda: time.monotonic() > began + 0.3)
    assert told(its.health()) == (200, {"health": "ok"})
    status, body = told(its.ready())
    assert (status, body["ready"], body["detail"]) == (503, False, "Stopping.")
    away = False
    await trying
    assert not is_trying_again()
    watch.cancel()
    await asyncio.wait([watch])


async def test_a_port_for_probes_has_three_pages_and_what_keeps_it_from_listening_is_said() -> None:
    its, place = vitals(Service()), ("127.0.0.1", free_port(), "TXNWATCH_PROBE_PORT")
    await its.look()
    async with its.answering(*place), aiohttp.ClientSession(f"http://127.0.0.1:{place[1]}") as session:
        for path, status in {"/health": 200, "/ready": 200, "/metrics": 200, "/table/": 404}.items():
            async with session.get(path) as response:
                assert response.status == status
        with pytest.raises(ProbePortError, match="address already in use: TXNWATCH_PROBE_PORT"):
            async with its.answering(*place):
                pass


async def test_ingest_that_was_told_to_stop_says_so_until_it_has() -> None:
    converter: Any = None
    ingest = Ingest(Settings(), ["payments"], converter, Arrived(), counts=IngestCounts())
    stop = asyncio.Event()
    assert ingest.hindered() == "Starting."
    stop.set()
    await ingest.run(stop)
    assert ingest.hindered() == "Stopping."
