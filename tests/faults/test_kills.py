"""SIGKILL between any two of the eight steps, within their transactions, and while taking over."""

import asyncio
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.embedded.cluster import Addresses
from tests.support.faults.ledger import Ledger
from tests.support.faults.oracle import Findings
from tests.support.faults.plan import BATCH_POINTS, OPENING_POINTS, Plan
from tests.support.faults.rig import Rig, rig
from tests.support.traffic import revised, traffic

KILLS_A_LANE = 5
MESSAGES = 6000


async def lives(rig: Rig, plans: Sequence[Plan], *, seed: int) -> tuple[Findings, list[float]]:
    """Workers one after the other, each killed by its plan, then one to the end: findings and recoveries."""
    await rig.send_transactions(revised(traffic(MESSAGES * 4 // 5, seed=seed), seed=seed))
    small = {"TXNWATCH_BATCH_SIZE": str(random.Random(seed).randint(20, 60))}
    for plan in plans:
        with rig.run(plan, **small) as worker:
            assert await worker.ended() == -signal.SIGKILL, worker.tail()
    with rig.run() as worker:
        await rig.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    return await rig.audited(), rig.recoveries()


def plan(point: str, seed: int) -> Plan:
    """A kill at this point, at a pass that the seed chooses; each opening passes it four times."""
    return Plan(point, random.Random(seed).randint(1, 4 if point in OPENING_POINTS else 12))


@dataclass(frozen=True, slots=True)
class Lanes:
    """Installations side by side, each killed some times and then held against the oracle."""

    services: Addresses
    folder: Path
    ledger: Ledger

    async def kill(self, fault: str, points: Sequence[str], kills: int) -> None:
        """So many kills at these points by turns."""
        first, last = self.ledger.seed, self.ledger.seed + kills
        async with asyncio.TaskGroup() as group:
            for seed in range(first, last, KILLS_A_LANE):
                group.create_task(self._lane(fault, points, range(seed, min(seed + KILLS_A_LANE, last))))

    async def _lane(self, fault: str, points: Sequence[str], seeds: range) -> None:
        plans = [plan(points[seed % len(points)], seed) for seed in seeds]
        async with rig(self.services, self.folder / str(seeds[0])) as ground:
            findings, recovery = await lives(ground, plans, seed=seeds[0])
        count = len(plans)
        self.ledger.settle(
            fault, findings, injected=count, in_flight=count, messages=MESSAGES, recovery=recovery
        )


@pytest.fixture
def lanes(services: Addresses, tmp_path: Path, ledger: Ledger) -> Lanes:
    return Lanes(services, tmp_path, ledger)


async def test_killed_around_the_commits_a_worker_goes_on_to_the_same(lanes: Lanes) -> None:
    points = ("rows committed", "output filled", "output committed")

    await lanes.kill("SIGKILL around the commits", points, 3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("point", [*BATCH_POINTS, *OPENING_POINTS])
async def test_killed_at_any_point_a_worker_goes_on_to_the_same(
    point: str, lanes: Lanes, pytestconfig: pytest.Config
) -> None:
    await lanes.kill(f"SIGKILL: {point}", [point], pytestconfig.getoption("faults_count"))
