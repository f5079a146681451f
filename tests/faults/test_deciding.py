"""Decisions that arrive while workers are killed: verdicts are those of a replay of both logs."""

import asyncio
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pytest

from infra.decisions.history import Proposal, after, append
from infra.decisions.publisher import publish
from infra.embedded.cluster import Addresses
from schemas.decision import RULES
from stream_app.settings import Settings
from tests.support.faults.ledger import Ledger
from tests.support.faults.oracle import Findings
from tests.support.faults.plain import ByDecision
from tests.support.faults.plan import BATCH_POINTS, DECISION_POINTS, OPENING_POINTS, Plan
from tests.support.faults.protections import WAITING
from tests.support.faults.rig import Rig, rig
from tests.support.installation import until
from tests.support.traffic import revised, traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

MESSAGES = 6000
DETECTORS = ("odds", "rolling_mean", "rolling_mean,odds")
APPLIED = "SELECT partition, seq, from_offset FROM decisions_applied WHERE app_id = $1"


@dataclass(slots=True)
class Decider:
    """Somebody who changes the detectors of an installation again and again."""

    ground: Rig
    detectors: dict[int, str] = field(default_factory=lambda: {0: "rolling_mean"})
    """By decision; 0 is the settings'."""

    async def decide(self, detector: str) -> int:
        """Decide and publish; the decision's number."""
        settings = Settings.model_validate(self.ground.environment)
        async with self.ground.postgres() as connection:
            decision = await append(connection, Proposal(RULES, {"detector": detector}, "ann", ""))
        self.detectors[decision.seq] = detector
        await publish(settings, settings.postgres.get_secret_value())
        return decision.seq

    async def go_on(self) -> None:
        """Decide twice a second, until cancelled."""
        for detector in cycle(DETECTORS):
            await self.decide(detector)
            await asyncio.sleep(0.5)

    async def holds(self) -> None:
        """Wait until every partition has applied the newest."""
        newest = max(self.detectors)

        async def everywhere() -> bool:
            return {partition for partition, seq, _ in await self.applied() if seq == newest} == {*range(4)}

        await until(everywhere)

    async def applied(self) -> Sequence[tuple[int, int, int]]:
        """Each partition, decision and first offset."""
        async with self.ground.postgres() as connection:
            rows = await connection.fetch(APPLIED, self.ground.environment["TXNWATCH_APP_ID"])
        return [(row["partition"], row["seq"], row["from_offset"]) for row in rows]

    async def findings(self) -> Findings:
        """What of all that was written differs from a replay of both logs."""
        async with self.ground.postgres() as connection:  # one may have been cut off after it was kept
            made = await after(connection, 0, 10_000)
        self.detectors |= {decision.seq: decision.body["detector"] for decision in made}
        applied = await self.applied()
        findings = await self.ground.audited(judge=ByDecision(applied, self.detectors))
        everywhere = {(partition, seq) for partition in range(4) for seq in self.detectors if seq}
        findings.compare(
            "decisions", dict.fromkeys(everywhere, True), (((p, s), True) for p, s, _ in applied)
        )
        return findings


async def lives(ground: Rig, plans: Sequence[Plan], seed: int) -> tuple[Findings, list[float]]:
    """Workers one after the other, each killed by its plan while decisions arrive, then one to the end."""
    decider = Decider(ground)
    await ground.send_transactions(revised(traffic(MESSAGES * 4 // 5, seed=seed), seed=seed))
    small = {"TXNWATCH_BATCH_SIZE": str(random.Random(seed).randint(20, 60))}
    deciding = asyncio.create_task(decider.go_on())
    try:
        for plan in plans:
            with ground.run(plan, **small) as worker:
                assert await worker.ended() == -signal.SIGKILL, worker.tail()
    finally:
        deciding.cancel()
        with suppress(asyncio.CancelledError):
            await deciding
    with ground.run() as worker:
        await ground.finish(worker)
        await decider.decide("odds")
        await decider.holds()
        assert await worker.stop() == 0, worker.tail()
    return await decider.findings(), ground.recoveries()


@pytest.mark.parametrize("point", [*DECISION_POINTS, *BATCH_POINTS, *OPENING_POINTS])
async def test_killed_at_any_point_while_decisions_arrive_verdicts_are_those_of_both_logs(
    point: str, services: Addresses, tmp_path: Path, ledger: Ledger, pytestconfig: pytest.Config
) -> None:
    kills = pytestconfig.getoption("faults_count")
    chance = random.Random(ledger.seed)
    plans = [Plan(point, chance.randint(1, 4 if point not in BATCH_POINTS else 12)) for _ in range(kills)]

    async with rig(services, tmp_path / "ground") as ground:
        findings, recovery = await lives(ground, plans, ledger.seed)

    fault = f"SIGKILL while decisions arrive: {point}"
    ledger.settle(fault, findings, injected=kills, in_flight=kills, messages=MESSAGES, recovery=recovery)


@pytest.mark.parametrize("protection", ["on", "off"])
async def test_decisions_wait_for_what_postgres_has(
    ground: Rig, ledger: Ledger, protection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, the last batch's rows and its messages are by different rule sets."""
    for name, value in {"TXNWATCH_WINDOW_MINIMUM": "1", "TXNWATCH_FACTOR": "1"}.items():
        monkeypatch.setenv(name, value)  # half of all is flagged
    off = [] if protection == "on" else [WAITING]
    decider = Decider(ground)
    await ground.send_transactions(traffic(MESSAGES))
    with ground.run(Plan("rows committed", 8, off=off), TXNWATCH_BATCH_SIZE="200") as worker:
        assert await worker.ended() == -signal.SIGKILL, worker.tail()
    await decider.decide("odds")
    with ground.run(Plan(off=off)) as worker:
        await ground.finish(worker)
        await decider.holds()
        assert await worker.stop() == 0, worker.tail()

    findings = await decider.findings()

    if protection == "on":
        assert findings.nothing, str(findings)
    else:
        fault = "SIGKILL between Postgres and Kafka, and a decision"
        ledger.settle_without(WAITING, fault, findings, messages=MESSAGES, where="rows")
