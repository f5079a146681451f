"""Decisions arrive while workers join, leave, die and sleep."""

import signal
from contextlib import ExitStack

import pytest

from tests.support.faults.crew import ENDED, Crew
from tests.support.faults.decider import Decider, Feed
from tests.support.faults.ledger import Ledger
from tests.support.faults.plan import Plan
from tests.support.faults.rig import Rig
from tests.support.faults.sleep import FIRST, SECOND, sleep_through
from tests.support.faults.whims import Whims, shopping

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHANGES = 10


async def finish(ground: Rig, decider: Decider) -> None:
    """A worker that applies all that was decided, and scores all that was sent."""
    with ground.run() as worker:
        await ground.finish(worker)
        await decider.holds()
        assert await worker.stop() == 0, worker.tail()


@pytest.mark.parametrize("most", [2, 3])
async def test_decisions_arrive_while_workers_come_go_and_die(ground: Rig, ledger: Ledger, most: int) -> None:
    sent = shopping(12_000, ledger.seed)
    decider, feed = Decider(ground, Whims(ledger.seed, sent)), Feed(ground, sent)

    with ExitStack() as stack:
        crew = Crew(ground, stack, most=most, seed=ledger.seed)
        crew.join()
        async with feed.at_work(), decider.at_work():
            for _ in range(CHANGES):
                before = len(ground.events("output committed"))
                await ground.noted("output committed", count=before + 4, within=180)
                await crew.change()
        for worker in crew.workers.values():
            worker.process.send_signal(signal.SIGTERM)
        for worker in crew.workers.values():
            assert await worker.ended() in ENDED, worker.tail()
    await finish(ground, decider)

    ledger.settle(
        f"{most} workers joining, leaving, killed while decisions arrive",
        await decider.findings(),
        injected=CHANGES,
        in_flight=CHANGES,
        messages=feed.count,
    )


@pytest.mark.parametrize("point", ["decision noted", "decision committed", "rows committed"])
async def test_a_worker_that_sleeps_while_others_decide_and_score_changes_nothing_when_it_wakes(
    ground: Rig, ledger: Ledger, point: str
) -> None:
    sent = shopping(FIRST + SECOND, ledger.seed)
    decider = Decider(ground, Whims(ledger.seed, sent))

    async with decider.at_work():
        nap = await sleep_through(ground, Plan(point, 3, signal.SIGSTOP), seed=ledger.seed, sent=sent)
    await finish(ground, decider)

    findings = await decider.findings()
    fault = f"SIGSTOP past the session while decisions arrive: {point}"
    ledger.settle(fault, findings, injected=1, in_flight=1, messages=nap.messages)
