"""Workers that join, leave, die and sleep while the others go on."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.embedded.cluster import Addresses
from tests.support.faults.crew import ENDED, Crew
from tests.support.faults.ledger import Ledger
from tests.support.faults.plan import Plan
from tests.support.faults.rig import Rig, Worker, rig
from tests.support.faults.sleep import SMALL, sleep_through
from tests.support.installation import until
from tests.support.traffic import Sent, traffic

CHUNK, CHANGES = 500, 10
MESSAGES = CHUNK * (CHANGES + 1)


@dataclass(slots=True)
class Coming:
    """What came of workers that came and went."""

    changes: int
    in_flight: int
    recovery: list[float]


async def come_and_go(ground: Rig, *, most: int, seed: int) -> Coming:
    """Changes among so many workers at the most, each once the group has got on since the last."""
    transactions = iter(traffic(MESSAGES, users=100, seed=seed))
    kills, in_flight = [], 0
    with ExitStack() as stack:
        crew = Crew(ground, stack, most=most, seed=seed)
        crew.join()
        for _ in range(CHANGES):
            before = len(ground.events("output committed"))
            await ground.send_transactions(take(transactions))
            await ground.noted("output committed", count=before + 2)
            in_flight += not await ground.finished()
            if await crew.change():
                kills.append(time.time())
        await ground.send_transactions(take(transactions))
        await ground.finish(*crew.workers.values())
        for worker in crew.workers.values():
            worker.process.send_signal(signal.SIGTERM)
        for worker in crew.workers.values():
            assert await worker.ended() in ENDED, worker.tail()
    return Coming(CHANGES, in_flight, ground.recoveries(*kills) if kills else [])


def take(transactions: Iterator[Sent]) -> list[Sent]:
    return [sent for sent, _ in zip(transactions, range(CHUNK), strict=False)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("most", [2, 3])
@pytest.mark.parametrize("turn", range(2))
async def test_workers_come_go_and_die_and_the_numbers_stay_right(
    ground: Rig, ledger: Ledger, most: int, turn: int
) -> None:
    coming = await come_and_go(ground, most=most, seed=ledger.seed + turn)

    ledger.settle(
        f"{most} workers joining, leaving, killed",
        await ground.audited(),
        injected=coming.changes,
        in_flight=coming.in_flight,
        messages=MESSAGES,
        recovery=coming.recovery,
    )


@pytest.mark.slow
async def test_a_worker_that_had_no_partition_goes_on_for_the_one_that_had(
    services: Addresses, tmp_path: Path, ledger: Ledger
) -> None:
    async with rig(services, tmp_path, partitions=1) as ground:
        idle = {**SMALL, "BROKER_MAX_POLL_INTERVAL": "0.1"}  # as if the spare one had been idle for 1,000 s
        with ground.run(datadir="one", **idle) as one, ground.run(datadir="two", **idle) as two:
            await until(lambda: ready(one, two))
            await ground.send_transactions(traffic(MESSAGES, seed=ledger.seed))
            await ground.noted("output committed", count=2)
            owner = ground.events("output committed")[-1].pid
            working, spare = (one, two) if one.process.pid == owner else (two, one)
            in_flight = int(not await ground.finished())
            killed = time.time()
            await working.kill()
            await ground.finish(spare)
            assert await spare.stop() == 0, spare.tail()

        ledger.settle(
            "SIGKILL of the one with the partition",
            await ground.audited(),
            injected=1,
            in_flight=in_flight,
            messages=MESSAGES,
            recovery=ground.recoveries(killed),
        )


async def ready(*workers: Worker) -> bool:
    return all("Worker ready" in worker.log.read_text() for worker in workers)


@pytest.mark.parametrize("point", [pytest.param("scored", marks=pytest.mark.slow), "rows committed"])
async def test_a_worker_that_sleeps_past_its_session_writes_nothing_when_it_wakes(
    ground: Rig, ledger: Ledger, point: str
) -> None:
    nap = await sleep_through(ground, Plan(point, 3, signal.SIGSTOP), seed=ledger.seed)

    ledger.settle(
        f"SIGSTOP past the session: {point}",
        await ground.audited(),
        injected=1,
        in_flight=1,
        messages=nap.messages,
        recovery=ground.recoveries(nap.slept),
    )
    assert nap.commits_before_opening == 0
