"""Decisions of every kind arrive while workers are killed: verdicts are those of a replay of both logs."""

import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.embedded.cluster import Addresses
from tests.support.faults.decider import Decider, Feed
from tests.support.faults.ledger import Ledger
from tests.support.faults.oracle import Findings
from tests.support.faults.plan import BATCH_POINTS, DECISION_POINTS, OPENING_POINTS, Plan
from tests.support.faults.protections import WAITING
from tests.support.faults.rig import Rig, rig
from tests.support.faults.rules import rule_set
from tests.support.faults.whims import Whims, shopping

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

MESSAGES = 24_000
"""More than 20 workers take that are killed within 12 batches of 60 each, on 4 partitions."""


async def lives(ground: Rig, plans: Sequence[Plan], seed: int) -> tuple[Findings, int]:
    """Workers one after the other, each killed by its plan while decisions arrive, then one to the end."""
    sent = shopping(MESSAGES, seed)
    decider, feed = Decider(ground, Whims(seed, sent[:4000])), Feed(ground, sent)
    small = {"TXNWATCH_BATCH_SIZE": str(random.Random(seed).randint(20, 60))}
    async with feed.at_work(), decider.at_work():
        for plan in plans:
            with ground.run(plan, **small) as worker:
                assert await worker.ended(within=180) == -signal.SIGKILL, worker.tail()
    with ground.run() as worker:
        await decider.holds()
        await feed.send(200)
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    return await decider.findings(), feed.count


@pytest.mark.parametrize("point", [*DECISION_POINTS, *BATCH_POINTS, *OPENING_POINTS])
async def test_killed_at_any_point_while_decisions_arrive_verdicts_are_those_of_both_logs(
    point: str, services: Addresses, tmp_path: Path, ledger: Ledger, pytestconfig: pytest.Config
) -> None:
    kills = pytestconfig.getoption("faults_count")
    chance = random.Random(ledger.seed)
    plans = [Plan(point, chance.randint(1, 12 if point in BATCH_POINTS else 4)) for _ in range(kills)]

    async with rig(services, tmp_path / "ground") as ground:
        findings, count = await lives(ground, plans, ledger.seed)
        recovery = ground.recoveries()

    fault = f"SIGKILL while decisions arrive: {point}"
    ledger.settle(fault, findings, injected=kills, in_flight=kills, messages=count, recovery=recovery)


@pytest.mark.parametrize("protection", ["on", "off"])
async def test_decisions_wait_for_what_postgres_has(ground: Rig, ledger: Ledger, protection: str) -> None:
    """Without it, the last batch's rows and its messages are by different rule sets."""
    off, sent = [] if protection == "on" else [WAITING], shopping(6000, seed=1)
    decider, feed = Decider(ground, Whims(1, sent)), Feed(ground, sent)
    await feed.send(len(sent))
    with ground.run(Plan("rows committed", 8, off=off), TXNWATCH_BATCH_SIZE="200") as worker:
        assert await worker.ended(within=180) == -signal.SIGKILL, worker.tail()
    await decider.decide_rules(rule_set("odds", "many", "roaming", "new"))
    with ground.run(Plan(off=off)) as worker:
        await ground.finish(worker)
        await decider.holds()
        assert await worker.stop() == 0, worker.tail()

    findings = await decider.findings()

    if protection == "on":
        assert findings.nothing, str(findings)
    else:
        fault = "SIGKILL between Postgres and Kafka, and a decision"
        ledger.settle_without(WAITING, fault, findings, messages=feed.count, where="rows")
