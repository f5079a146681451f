"""SIGKILL between any two of the eight steps, within their transactions, and while taking over."""

import asyncio
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.embedded.cluster import Addresses
from tests.support.faults.ledger import Ledger
from tests.support.faults.oracle import Findings, Judge
from tests.support.faults.plain import Plain
from tests.support.faults.plan import BATCH_POINTS, OPENING_POINTS, Plan
from tests.support.faults.rig import Rig, rig
from tests.support.installation import json_of
from tests.support.traffic import revised, traffic

KILLS_A_LANE = 5
MESSAGES = 6000
DEFAULT = ("rolling_mean", "")


async def lives(
    rig: Rig, plans: Sequence[Plan], *, seed: int, judge: Judge | None = None
) -> tuple[Findings, list[float]]:
    """Workers one after the other, each killed by its plan, then one to the end: findings and recoveries."""
    await rig.send_transactions(revised(traffic(MESSAGES * 4 // 5, seed=seed), seed=seed))
    small = {"TXNWATCH_BATCH_SIZE": str(random.Random(seed).randint(20, 60))}
    for plan in plans:
        with rig.run(plan, **small) as worker:
            assert await worker.ended() == -signal.SIGKILL, worker.tail()
    with rig.run() as worker:
        await rig.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    return await rig.audited(judge=judge), rig.recoveries()


def plan(point: str, seed: int) -> Plan:
    """A kill at this point, at a pass that the seed chooses; each opening passes it four times."""
    return Plan(point, random.Random(seed).randint(1, 4 if point in OPENING_POINTS else 12))


@dataclass(frozen=True, slots=True)
class Lanes:
    """Installations side by side, each killed some times and then held against the oracle."""

    services: Addresses
    folder: Path
    ledger: Ledger
    detectors: tuple[str, str] = DEFAULT
    """Those that decide, and those that only watch."""

    async def kill(self, fault: str, points: Sequence[str], kills: int) -> None:
        """So many kills at these points by turns."""
        first, last = self.ledger.seed, self.ledger.seed + kills
        async with asyncio.TaskGroup() as group:
            for seed in range(first, last, KILLS_A_LANE):
                group.create_task(self._lane(fault, points, range(seed, min(seed + KILLS_A_LANE, last))))

    async def _lane(self, fault: str, points: Sequence[str], seeds: range) -> None:
        plans = [plan(points[seed % len(points)], seed) for seed in seeds]
        async with rig(self.services, self.folder / str(seeds[0])) as ground:
            settings = zip(("TXNWATCH_DETECTOR", "TXNWATCH_SHADOW_DETECTORS"), self.detectors, strict=True)
            ground.environment |= dict(settings)
            judge = None if self.detectors == DEFAULT else Plain(*self.detectors)
            findings, recovery = await lives(ground, plans, seed=seeds[0], judge=judge)
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


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("detectors", [("odds", ""), ("rolling_mean,odds", ""), ("rolling_mean", "odds")])
async def test_killed_anywhere_with_other_detectors_verdicts_are_those_of_a_plain_loop(
    detectors: tuple[str, str], lanes: Lanes, pytestconfig: pytest.Config
) -> None:
    points = [*BATCH_POINTS, *OPENING_POINTS]

    deciding, watching = detectors
    await replace(lanes, detectors=detectors).kill(
        f"SIGKILL with {deciding}{watching and f' and {watching} watching'}",
        points,
        max(pytestconfig.getoption("faults_count"), len(points)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("detectors", [("odds", ""), ("rolling_mean,odds", ""), ("rolling_mean", "odds")])
async def test_verdicts_are_the_same_on_4_partitions_and_on_7_and_after_a_restart(
    detectors: tuple[str, str], services: Addresses, tmp_path: Path
) -> None:
    sent, said = revised(traffic(4000, seed=5), seed=5), []
    for partitions in (4, 7):
        async with rig(services, tmp_path / str(partitions), partitions=partitions) as ground:
            ground.environment |= {
                "TXNWATCH_DETECTOR": detectors[0],
                "TXNWATCH_SHADOW_DETECTORS": detectors[1],
                "TXNWATCH_BATCH_SIZE": str(100 * partitions),
            }
            for part in (sent[:1500], sent[1500:]):
                await ground.send_transactions(part)
                with ground.run() as worker:
                    await ground.finish(worker)
                    assert await worker.stop() == 0, worker.tail()
            assert (await ground.audited(judge=Plain(*detectors))).nothing
            rows = json_of(await ground.read("TXNWATCH_SCORED_TOPIC"))
        said.append({(row["id"], row["meta_data"].get("revision")): row for row in rows})

    assert said[0] == said[1]
    metas = [row["meta_data"] for row in said[0].values()]
    assert (
        len([one for one in metas if one.get("detector") == "odds" or "odds" in one.get("shadow", {})]) > 20
    )
