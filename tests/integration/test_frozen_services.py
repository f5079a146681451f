"""Worker, API and ingest while services freeze, and a partition that hangs: what probes are told of it."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from typing import Any, NoReturn

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from infra.runtime.background import background
from infra.runtime.settings import Settings as TopicSettings
from stream_app.faust_adapter.vital_signs import vitals_of
from stream_app.metrics import WorkerMetrics
from stream_app.settings import Settings
from tests.support.faults.outages import Services
from tests.support.faults.rig import Rig
from tests.support.foreign_topics import MAPPING, foreign, foreign_topic, ingesting
from tests.support.hanging import hanging
from tests.support.installation import until
from tests.support.services import free_port
from tests.support.traffic import traffic

SAYS_WITHIN = 10.0
NEEDS = {
    "worker": frozenset({"kafka", "postgres", "redis"}),
    "api": frozenset({"kafka", "postgres", "redis"}),
    "ingest": frozenset({"kafka"}),
}
FROZEN_SECONDS = 20.0  # longer than the shortest TXNWATCH_PROGRESS_SECONDS


async def test_a_partition_whose_batch_never_ends_is_named_by_health(topics: TopicSettings) -> None:
    settings = Settings(kafka=topics.kafka, sinks="")
    flows = asyncio.Event()
    flows.set()
    async with hanging(topics.kafka, TopicPartition(topics.transactions_topic, 2)) as partition:
        app: Any = SimpleNamespace(
            settings=settings.model_copy(update={"progress_seconds": 0.1}),
            metrics=WorkerMetrics(),
            windows=SimpleNamespace(restored=0),
            consumer=SimpleNamespace(
                can_resume_flow=flows, partition_lags=lambda: partition.lags.of(partition.consumer)
            ),
            is_starting=False,
            is_stopping=False,
            rebalancing_count=1,
        )
        vitals = vitals_of(app)
        await partition.send(1)
        async with background(partition.pump(), name="pump"):
            await partition.taken.wait()
            await vitals.look()
            assert (vitals.health()[0], vitals.ready()[0]) == (200, 200)
            async with asyncio.timeout(10):
                while vitals.health()[0] == 200:
                    await vitals.look()
        [stalled] = json.loads(vitals.health()[1])["stalled"]
        assert (stalled["part"], stalled["left"]) == (2, 1)
        flows.clear()
        await vitals.look()
        assert json.loads(vitals.ready()[1])["detail"] == "Taking partitions over."
        await vitals.dependencies.give_up()


@dataclass(frozen=True, slots=True)
class Program:
    """A process that runs, by where it is asked."""

    name: str
    port: int
    needs: frozenset[str]
    """What it depends on, as `/ready` names it."""

    async def ask(self, path: str) -> tuple[int, str]:
        """What it answers."""
        url = f"http://127.0.0.1:{self.port}{path}"
        timeout = aiohttp.ClientTimeout(total=SAYS_WITHIN)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status, await response.text()

    async def ready(self) -> tuple[int, Mapping[str, Any]]:
        """Its readiness; (0, {}) while nobody listens."""
        try:
            status, body = await self.ask("/ready")
        except OSError:
            return 0, {}
        return status, json.loads(body)

    async def is_ready(self) -> bool:
        """Whether it is, with everything up."""
        status, body = await self.ready()
        return status == 200 and {one["state"] for one in body["dependencies"].values()} == {"up"}

    async def says(self, name: str) -> bool:
        """Whether readiness and metrics say that the service is down, and health that it is alive."""
        assert await self.ask("/health") == (200, '{"health":"ok"}')
        status, body = await self.ready()
        _, metrics = await self.ask("/metrics")
        down = body["dependencies"][name]["state"] == "down"
        if down:
            assert status == (200 if name == "redis" else 503)
            assert "since" in body["dependencies"][name]
        return down and f'txnwatch_dependency_up{{dependency="{name}"}} 0.0' in metrics


async def load(ground: Rig, topic: str) -> NoReturn:
    """Send both kinds of records, some hundred a second, whenever Kafka takes them."""
    number = 0
    while True:
        sent = traffic(50, seed=number)
        with suppress(KafkaError, OSError):
            await ground.send_transactions(sent)
            async with AIOKafkaProducer(bootstrap_servers=ground.kafka) as producer:
                for one in sent:
                    await producer.send(topic, foreign(one), key=one.key)
        number += 1
        await asyncio.sleep(0.2)


@contextmanager
def running(ground: Rig, topic: str, folder: Path, ports: Mapping[str, int]) -> Iterator[list[Popen[bytes]]]:
    """The three programs, each with its log in the folder."""
    mapping = folder / "shop.toml"
    mapping.write_text(MAPPING)
    with ExitStack() as stack:
        run = stack.enter_context
        logs = {name: run((folder / f"{name}.log").open("wb")) for name in ("worker", "api")}
        yield [
            *(run(ground.command("txnwatch", name, output=log.fileno())) for name, log in logs.items()),
            run(ingesting(ground, topic, mapping, TXNWATCH_INGEST_PORT=str(ports["ingest"]))),
        ]


@pytest.mark.slow
async def test_frozen_services_are_said_in_time_and_nothing_has_to_be_restarted(
    own_services: Services, own_ground: Rig, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in NEEDS}
    own_ground.environment |= {
        "TXNWATCH_PROGRESS_SECONDS": "10",
        "TXNWATCH_WEB_PORT": str(ports["worker"]),
        "TXNWATCH_API_PORT": str(ports["api"]),
    }
    programs = [Program(name, ports[name], needs) for name, needs in NEEDS.items()]
    async with foreign_topic(own_ground) as topic:
        with running(own_ground, topic, tmp_path, ports) as processes:
            for program in programs:
                await until(program.is_ready)
            async with background(load(own_ground, topic), name="load"):
                await until(partial(_is_past, own_ground, 0))
                assert (
                    'txnwatch_progress_timestamp_seconds{partition="0"} '
                    in (await programs[0].ask("/metrics"))[1]
                )
                for service, name in (("postgres", "postgres"), ("kafka", "kafka"), ("valkey", "redis")):
                    with own_services.hanging(service):
                        await _said_and_lived_through(programs, name)
                    for program in programs:
                        await until(program.is_ready, within=60)
                    before = await own_ground.committed()
                    await until(partial(_is_past, own_ground, before))
            await until(own_ground.finished)
            assert [process.poll() for process in processes] == [None] * 3


async def _is_past(ground: Rig, offset: int) -> bool:
    return await ground.committed() > offset


async def _said_and_lived_through(programs: Sequence[Program], name: str) -> None:
    """Each program that depends on the service says within 10 s that it is down, and is alive all along."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for program in programs:
        if name in program.needs:
            await until(partial(program.says, name), within=began + SAYS_WITHIN - loop.time())
    while loop.time() < began + FROZEN_SECONDS:
        for program in programs:
            if name in program.needs:
                assert await program.says(name), program.name
            else:
                assert await program.is_ready(), program.name
        await asyncio.sleep(0.5)
