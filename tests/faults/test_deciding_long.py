"""One long run: workers are killed and decisions of every kind arrive, and every verdict can be proven."""

import random
import signal

import pytest

from tests.support.faults.decider import Decider, Feed
from tests.support.faults.ledger import Ledger
from tests.support.faults.plan import BATCH_POINTS, DECISION_POINTS, OPENING_POINTS, Plan
from tests.support.faults.rig import Rig
from tests.support.faults.whims import Whims, shopping

COUNT, KILLS, BATCH = 200_000, 10, 1000


def plan(chance: random.Random) -> Plan:
    """A kill anywhere, after some thousand messages."""
    point = chance.choice([*BATCH_POINTS, *DECISION_POINTS, *OPENING_POINTS])
    return Plan(point, chance.randint(1, 4) if point in OPENING_POINTS else chance.randint(4, 16))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_of_200_000_verdicts_replay_gives_none_differently(ground: Rig, ledger: Ledger) -> None:
    chance, sent = random.Random(ledger.seed), shopping(COUNT, ledger.seed, users=500)
    decider = Decider(ground, Whims(ledger.seed, sent), warms=True)
    feed = Feed(ground, sent, waiting=8 * BATCH)

    async with decider.at_work():
        async with feed.at_work():
            for _ in range(KILLS):
                with ground.run(plan(chance), TXNWATCH_BATCH_SIZE=str(BATCH)) as worker:
                    assert await worker.ended(within=180) == -signal.SIGKILL, worker.tail()
        with ground.run(TXNWATCH_BATCH_SIZE=str(BATCH)) as worker:
            while feed.count < len(sent):
                await feed.send(8 * BATCH)
                await ground.finish(worker, within=180)
            assert await worker.stop() == 0, worker.tail()

    code, said = await ground.completed_within(300, "txnwatch", "replay")
    assert code == 0, f"--faults-seed {ledger.seed}: {said}"
    same, different = (
        line.split() for line in said.splitlines() if line.endswith((" the same", "different"))
    )
    assert int(same[0].replace(",", "")) > COUNT * 3 // 4, said
    assert different == ["0", "different"]
    assert len(await decider.made()) > 50
