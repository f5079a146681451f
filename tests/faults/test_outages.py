"""The broker, Postgres and Valkey away, hanging or back with less than they had."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.faults.ledger import Ledger
from tests.support.faults.outages import Services
from tests.support.faults.rig import Rig, Worker
from tests.support.feed_clients import network
from tests.support.services import free_port
from tests.support.traffic import traffic

MESSAGES = 8000
SMALL = {"TXNWATCH_BATCH_SIZE": "50"}


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'txnwatch-worker'"
FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


@dataclass(slots=True)
class Load:
    """A worker in the middle of a backlog, which a fault then hits."""

    ground: Rig
    worker: Worker
    hit: float = 0.0

    async def under_way(self) -> None:
        """Wait until it has committed some batches since now; the fault comes next."""
        before = len(self.ground.events("output committed"))
        await self.ground.noted("output committed", count=before + 3)
        assert not await self.ground.finished()
        self.hit = time.time()

    async def over(self, since: float) -> list[float]:
        """Wait until all is finished and end the worker; seconds from then to the next commit."""
        await self.ground.finish(self.worker)
        assert await self.worker.stop() == 0, self.worker.tail()
        return self.ground.recoveries(since)


@pytest.fixture
async def load(own_ground: Rig) -> AsyncIterator[Load]:
    await own_ground.send_transactions(traffic(MESSAGES))
    with own_ground.run(**SMALL) as worker:
        yield Load(own_ground, worker)


async def settle(ledger: Ledger, fault: str, load: Load, since: float) -> None:
    recovery = await load.over(since)
    findings = await load.ground.audited()
    ledger.settle(fault, findings, injected=1, in_flight=1, messages=MESSAGES, recovery=recovery)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "away"), [(signal.SIGKILL, 0.0), (signal.SIGKILL, 30.0), (signal.SIGTERM, 5.0)]
)
async def test_the_broker_ends_and_comes_back(
    own_services: Services, load: Load, ledger: Ledger, how: signal.Signals, away: float
) -> None:
    await load.under_way()

    await own_services.end("kafka", how)
    await asyncio.sleep(away)  # the outage itself, not a wait for something
    await own_services.start()

    await settle(ledger, f"broker: {how.name}, away for {away:.0f} s", load, time.time())


@pytest.mark.slow
async def test_the_only_broker_comes_back_under_another_port(
    own_services: Services, own_ground: Rig, ledger: Ledger
) -> None:
    """Its bootstrap address stays, as a load balancer's does; what it advertises is another."""
    await own_ground.send_transactions(traffic(MESSAGES))
    former = own_services.port("kafka")
    async with network(former) as bootstrap:
        own_ground.kafka = own_ground.environment["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{bootstrap.port}"
        with own_ground.run(**SMALL) as worker:
            load = Load(own_ground, worker)
            await load.under_way()
            bootstrap.cut()
            bootstrap.target = free_port()
            await own_services.move("kafka", bootstrap.target)
            bootstrap.mend()
            try:
                await settle(ledger, "broker: back under another port", load, time.time())
            finally:
                await own_services.move("kafka", former)


@pytest.mark.slow
async def test_the_broker_hangs(own_services: Services, load: Load, ledger: Ledger) -> None:
    await load.under_way()

    with own_services.hanging("kafka"):
        await asyncio.sleep(15)

    await settle(ledger, "broker: hanging for 15 s", load, time.time())


@pytest.mark.slow
async def test_postgres_is_killed_and_comes_back(own_services: Services, load: Load, ledger: Ledger) -> None:
    await load.under_way()

    await own_services.end("postgres", signal.SIGQUIT)  # what `pg_ctl stop -m immediate` sends
    await own_services.start()

    await settle(ledger, "Postgres: immediate shutdown and restart", load, time.time())


@pytest.mark.slow
async def test_postgres_is_away_for_a_while(own_services: Services, load: Load, ledger: Ledger) -> None:
    await load.under_way()

    await own_services.end("postgres", signal.SIGQUIT)
    await asyncio.sleep(15)
    await own_services.start()

    await settle(ledger, "Postgres: away for 15 s", load, time.time())


@pytest.mark.slow
async def test_postgres_hangs(own_services: Services, load: Load, ledger: Ledger) -> None:
    await load.under_way()

    with own_services.hanging("postgres"):
        await asyncio.sleep(20)

    await settle(ledger, "Postgres: its processes stopped for 20 s", load, time.time())


@pytest.mark.slow
async def test_postgres_cuts_every_connection(load: Load, ledger: Ledger) -> None:
    await load.under_way()

    async with load.ground.postgres() as connection:
        cut = await connection.fetch(CUT)

    assert cut
    await settle(ledger, "Postgres: connections cut", load, time.time())


@pytest.mark.slow
async def test_postgres_has_no_room(load: Load, ledger: Ledger) -> None:
    """What a server with a full disk answers, by a trigger: filling a real one would hit the others too."""
    await load.under_way()

    async with load.ground.postgres() as connection:
        await connection.execute(FULL)
        await asyncio.sleep(10)
        await connection.execute("DROP TRIGGER full_disk ON transactions")

    await settle(ledger, "Postgres: disk full for 10 s", load, time.time())


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "hanging", "flushed"])
async def test_valkey_fails_and_the_rows_do_not_wait_for_it(
    own_services: Services, load: Load, ledger: Ledger, fault: str
) -> None:
    await load.under_way()
    hit = time.time()

    match fault:
        case "killed":
            await own_services.end("valkey", signal.SIGKILL)
            await load.ground.finish(load.worker, within=60)
            await own_services.start()
        case "hanging":
            with own_services.hanging("valkey"):
                await load.ground.finish(load.worker, within=60)
        case _:
            await load.ground.flush_mirror()
            await load.ground.finish(load.worker, within=60)
            await load.ground.send_transactions(traffic(100, seed=9))
    recovery = load.ground.recoveries(hit)
    pause = longest_pause(load.ground, since=hit)

    # What a flush took is made good when the partitions are taken over next.
    assert await load.worker.stop() == 0, load.worker.tail()
    with load.ground.run() as worker:
        await load.ground.noted("opened", count=4, pid=worker.process.pid)
        await load.ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    findings = await load.ground.audited()
    ledger.settle(f"Valkey: {fault}", findings, injected=1, in_flight=1, messages=MESSAGES, recovery=recovery)
    assert max(recovery) < 2, "the rows waited for the mirror"
    assert pause < 3, "the rows waited for the mirror"


def longest_pause(ground: Rig, since: float) -> float:
    """The longest time from one batch to the next."""
    commits = [since, *(event.at for event in ground.events("output committed") if event.at > since)]
    return max(after - before for before, after in pairwise(commits))


@pytest.mark.slow
async def test_a_batch_damaged_on_the_brokers_disk_costs_itself_alone(
    own_ground: Rig, own_services: Services
) -> None:
    """One record is before it, which must not go with it: the worker stops, and its line leads on."""
    sent = traffic(4, users=1)
    for batch in (sent[:1], sent[1:3], sent[3:]):
        await own_ground.send_transactions(batch)
    partition = damage(own_services.datadir, own_ground.transactions)
    with own_ground.run() as worker:
        assert await worker.ended() == 1, worker.tail()
    line = worker.log.read_text().splitlines()[-1]
    place = f"topic {own_ground.transactions} partition {partition}"
    assert f"{place}: the records from offset 1 to 2 cannot be read" in line
    assert "set their group to 3 (kafka-consumer-groups --reset-offsets --to-offset)" in line

    await own_ground.set_group({partition: 3})
    with own_ground.run() as worker:
        await own_ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    assert {row["id"] for row in await own_ground.rows()} == {sent[0].id, sent[3].id}


def damage(datadir: Path, topic: str) -> int:
    """Change the last byte of the second batch of the topic's only partition with records; the partition."""
    (segment,) = [path for path in datadir.rglob(f"{topic}-*/*0.log") if path.stat().st_size]
    with segment.open("r+b") as file:
        start = 12 + int.from_bytes(file.read(12)[8:])
        file.seek(start)
        last = start + 12 + int.from_bytes(file.read(12)[8:]) - 1
        file.seek(last)
        byte = file.read(1)[0]
        file.seek(last)
        file.write(bytes([byte ^ 0xFF]))
    return int(segment.parent.name.rpartition("-")[2])
