"""`returning`: after a restart of the API all its clients come back, each with what it missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from subprocess import PIPE
from sys import executable
from urllib.request import urlopen
from uuid import UUID

import click
import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.bed import Bed, free_port, new_run
from benchmarks.contenders import TXNWATCH
from benchmarks.environments import ROOT
from benchmarks.live import READY_SECONDS, when_up
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.process import Command, Running, running
from benchmarks.result import Cell, Column, Figure, Result, ratio
from benchmarks.returned import Returned

USERS = 500
MINUTE = 60_000  # events at 1,000/s
COLUMNS = [
    Column("case", "case"),
    Column("partitions", "partitions"),
    Column("missed", "missed by each"),
    Column("seconds", "s", ",.1f"),
    Column("cpu", "API's CPU s", ",.1f"),
    Column("megabytes", "MB sent"),
    Column("wrong", "missed or twice"),
]
METHOD = (
    "One API process, one process for all clients, both on the broker's machine. Time: from when the first "
    "client comes back, to an API that has just been started, to when the last one has all that it missed."
)


@dataclass(frozen=True, slots=True)
class Case:
    """So many clients come back, each of a user of its own, or (`everyone`) of all."""

    name: str
    partitions: int
    clients: int
    everyone: bool = False

    @property
    def paths(self) -> list[str]:
        """What each client asks for."""
        if self.everyone:
            return ["/sse/anomalies"] * self.clients
        return [f"/sse/anomalies?user_id={UUID(int=number)}" for number in range(self.clients)]


ONE, EVERY = Case("1 of a user", 200, 1), Case("500 of a user each", 200, 500)
ONE_OF_ALL = Case("1 that hears all", 200, 1, everyone=True)
ALL = Case("50 that hear all", 200, 50, everyone=True)
USUAL = Case("500 of a user each, usual topic", 4, 500)
CASES = (ONE, EVERY, ONE_OF_ALL, ALL, USUAL)


async def returning(loads: Loads, options: Options) -> Result:
    """Each case in turn, in every round on an API of its own."""
    count = min(options.count, MINUTE) // USERS * USERS
    seen: dict[Case, list[tuple[Returned, float]]] = {}
    for partitions in dict.fromkeys(case.partitions for case in CASES):
        async with _missed(loads.bed, partitions, count) as place:
            for case in [case for case in CASES if case.partitions == partitions] * options.rounds:
                outcome = await _come_back(place, case, count if case.everyone else count // USERS)
                seen.setdefault(case, []).append(outcome)
                click.echo(f"  {case.name}: {outcome[0].seconds:.1f} s")
    rows = [_row(case, each, count) for case, each in seen.items()]
    return Result(
        name="returning",
        title="what clients missed, after a restart of the API",
        setting=f"{count:,} events missed, of {USERS} users; {options.rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=rows,
        figures=_figures(dict(zip(seen, rows, strict=True))),
        notes=[METHOD],
    )


def _figures(rows: dict[Case, dict[str, Cell]]) -> list[Figure]:
    def seconds(case: Case) -> float | None:
        found = rows[case]["seconds"]
        return float(found) if isinstance(found, int | float) else None

    each, every = "500 clients come back, 200 partitions", "50 that hear all come back, 200 partitions"
    return [
        Figure(f"{each}: the last has all", seconds(EVERY), 5, 3, unit="s", better="less"),
        Figure(f"{each}: against one", ratio(seconds(EVERY), seconds(ONE)), better="less"),
        Figure(f"{every}: the last has all", seconds(ALL), 5, 3, unit="s", better="less"),
        Figure(f"{every}: against one", ratio(seconds(ALL), seconds(ONE_OF_ALL)), better="less"),
    ]


def _row(case: Case, seen: list[tuple[Returned, float]], count: int) -> dict[str, Cell]:
    returned = [one for one, _ in seen]
    return {
        "case": case.name,
        "partitions": case.partitions,
        "missed": count if case.everyone else count // USERS,
        "seconds": median(one.seconds for one in returned),
        "cpu": median(cpu for _, cpu in seen),
        "megabytes": median(one.megabytes for one in returned),
        "wrong": sum(one.wrong for one in returned),
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """An API's settings, and the position from which on the events were missed."""

    environment: dict[str, str]
    folder: Path
    last_id: str = ""

    @asynccontextmanager
    async def api(self) -> AsyncIterator[tuple[Running, int]]:
        """An API that answers, and its port."""
        port = free_port()
        environment = {**self.environment, "TXNWATCH_API_PORT": str(port)}
        with running(Command([TXNWATCH, "api"], environment, self.folder / "api.log")) as api:
            await when_up(port, api)
            yield api, port


@asynccontextmanager
async def _missed(bed: Bed, partitions: int, count: int) -> AsyncIterator[_Place]:
    """A topic with so many events after a position."""
    run = new_run()
    topic, folder = f"{run}.flags", bed.scratch(run)
    await bed.create_wide_topic(topic, partitions)
    environment = {
        **bed.addresses.as_env(),
        "TXNWATCH_ANOMALIES_TOPIC": topic,
        "TXNWATCH_SCORED_TOPIC": "",
        "TXNWATCH_API_DRAIN_SECONDS": "0",
    }
    place = _Place(environment, folder)
    try:
        async with place.api() as (_, port), asyncio.timeout(READY_SECONDS):
            while not (last_id := await asyncio.to_thread(_position, port)):  # noqa: ASYNC110
                await asyncio.sleep(1)
        await _publish(bed.kafka, topic, count)
        yield _Place(environment, folder, last_id)
    finally:
        await bed.clean(run)


def _position(port: int) -> str:
    """The first id of a stream, if it gets as far."""
    with urlopen(f"http://127.0.0.1:{port}/sse/anomalies") as stream:
        ids = (line[4:].decode().strip() for line in stream if line.startswith(b"id: "))
        return str(next(ids, ""))


async def _publish(kafka: str, topic: str, count: int) -> None:
    """Rows of about 330 bytes, of each user in turn."""
    filler = "x" * 150
    async with AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=20, compression_type="lz4") as producer:
        for number in range(count):
            user = str(UUID(int=number % USERS))
            row = (
                f'{{"id":"{UUID(int=number)}","user_id":"{user}","amount":"12.30","currency":"INR",'
                f'"txn_date":"2026-01-01T00:00:00Z","status":"paid","meta_data":{{"note":"{filler}"}}}}'
            )
            await producer.send(topic, row.encode(), key=user.encode())
        await producer.flush()


async def _come_back(place: _Place, case: Case, missed: int) -> tuple[Returned, float]:
    """What came of it, and the API's processor time."""
    async with place.api() as (api, port):
        before = api.cpu_seconds()
        clients = await asyncio.create_subprocess_exec(
            executable, "-m", "benchmarks.returned", str(port), place.last_id, str(missed),
            cwd=ROOT, stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        said, _ = await clients.communicate("\n".join(case.paths).encode())
        return msgspec.json.decode(said, type=Returned), api.cpu_seconds() - before
