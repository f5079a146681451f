"""What keeps decisions right, switched off in turn: the replay of both logs has to find the damage."""

import asyncio
import signal
from typing import Any

import pytest

from infra.decisions import publisher
from infra.decisions.publisher import publish
from stream_app.settings import Settings
from tests.support.faults.decider import Decider, Feed
from tests.support.faults.ledger import Ledger
from tests.support.faults.plan import Plan
from tests.support.faults.protections import FENCING, NOTED, NUMBERS
from tests.support.faults.rig import Rig
from tests.support.faults.sleep import FIRST, SECOND, SMALL, sleep_through
from tests.support.faults.topics import make_anew
from tests.support.faults.whims import Whims, shopping

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MESSAGES = FIRST + SECOND


class Trial:
    """A protection on or off, an installation with decisions, and what has to come of it."""

    def __init__(self, ground: Rig, ledger: Ledger, *, on: bool) -> None:
        sent = shopping(MESSAGES, seed=1)
        self.ground, self.sent, self.on, self._ledger = ground, sent, on, ledger
        self.decider, self.feed = Decider(ground, Whims(1, sent)), Feed(ground, sent)

    def off(self, protection: str) -> tuple[str, ...]:
        """What to switch off."""
        return () if self.on else (protection,)

    async def work(self, off: tuple[str, ...] = (), *, datadir: str = "one", count: int = MESSAGES) -> None:
        """A worker that scores so many more and applies all that was decided."""
        await self.feed.send(count)
        with self.ground.run(Plan(off=[*off]), datadir=datadir, **SMALL) as worker:
            await self.decider.holds()
            await self.ground.finish(worker)
            assert await worker.stop() == 0, worker.tail()

    async def judge(self, protection: str, fault: str, *, where: str) -> None:
        """Nothing with the protection on; with it off something in this place."""
        findings = await self.decider.findings()
        if self.on:
            assert findings.nothing, str(findings)
        else:
            self._ledger.settle_without(
                protection, fault, findings, messages=self.feed.count or MESSAGES, where=where
            )


@pytest.fixture(params=["on", "off"])
def trial(request: pytest.FixtureRequest, ground: Rig, ledger: Ledger) -> Trial:
    return Trial(ground, ledger, on=request.param == "on")


async def test_postgres_knows_of_a_decision_before_it_holds(trial: Trial) -> None:
    """With Kafka first, a crash between the two leaves verdicts by a decision that held nowhere."""
    off = trial.off(NOTED)
    await trial.work(count=1000)
    await trial.decider.decide()
    with trial.ground.run(Plan("decision taken", 2, off=[*off]), **SMALL) as worker:
        assert await worker.ended(within=180) == -signal.SIGKILL, worker.tail()

    await trial.work(off, count=1000)

    await trial.judge(NOTED, "SIGKILL between Kafka and Postgres, of a decision", where="decisions")


@pytest.mark.parametrize("more", [0, 12])
async def test_decisions_that_come_again_are_passed_over(trial: Trial, more: int) -> None:
    """A control topic that is written anew says all once more, elsewhere; labels would count twice."""
    await trial.work(count=1000)
    for _ in range(3):
        await trial.decider.label(5)
    await trial.work(count=1000)
    for _ in range(more):
        await trial.decider.keep()
    await make_anew(trial.ground, trial.ground.environment["TXNWATCH_CONTROL_TOPIC"])
    code, said = await trial.ground.completed("txnwatch", "state", "accept")
    assert code == 0, said

    await trial.work(trial.off(NUMBERS), count=1000)

    await trial.judge(NUMBERS, "control topic made anew", where="merchants")


async def test_a_former_owner_says_nothing_of_decisions_when_it_wakes(trial: Trial) -> None:
    """What it notes late is of former ones: whoever restores that would apply those after it again."""
    plan = Plan("decision noted", 6, signal.SIGSTOP, [*trial.off(FENCING)])
    async with trial.decider.at_work():
        await sleep_through(trial.ground, plan, seed=1, off=trial.off(FENCING), sent=trial.sent)
    await trial.work(trial.off(FENCING), datadir="anew", count=0)

    # In verdicts, or in what is known of merchants: it depends on which decisions were between.
    await trial.judge(FENCING, "SIGSTOP past the session, in a decision", where="")


class Publishers:
    """Three that publish at once, with some of what keeps them apart switched off."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self._all = monkeypatch, asyncio.Barrier(3)

    def switch_off(self, protection: str) -> None:
        """The lock, fencing, or looking how far the topic is only once nobody else can write."""
        if protection == "lock":
            self._patch.setattr(publisher, "_LOCK", "SELECT $1::text")
            self._patch.setattr(publisher, "_check_same", self._together)
        elif protection == "fencing":
            ids = iter("abc")
            known = vars(publisher)["AIOKafkaProducer"]

            def of_its_own(*, transactional_id: str, **options: Any) -> Any:
                return known(transactional_id=transactional_id + next(ids), **options)

            self._patch.setattr(publisher, "AIOKafkaProducer", of_its_own)
        else:
            looked: dict[Any, Any] = {}
            look = publisher.last_decisions

            async def look_once(settings: Any) -> Any:
                task = asyncio.current_task()
                if task not in looked:
                    looked[task] = await look(settings)
                    await self._together()
                return looked[task]

            self._patch.setattr(publisher, "last_decisions", look_once)

    async def _together(self, *_: Any) -> None:
        await asyncio.wait_for(self._all.wait(), 60)

    async def publish(self, settings: Settings) -> None:
        """All at once; those that are kept from it may fail."""
        url = settings.postgres.get_secret_value()
        await asyncio.gather(*(publish(settings, url) for _ in range(3)), return_exceptions=True)


@pytest.mark.parametrize("off", ["", "fencing", "lock", "fencing and lock", "looking last"])
async def test_of_publishers_at_once_either_the_lock_or_fencing_keeps_the_log_exact(
    ground: Rig, ledger: Ledger, off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both are off, or each goes by what it saw before the others wrote, decisions are there twice."""
    trial, settings = Trial(ground, ledger, on=" " not in off), Settings.model_validate(ground.environment)
    for _ in range(3):
        await trial.decider.keep()
    with monkeypatch.context() as patch:
        publishers = Publishers(patch)
        for protection in filter(None, off.split(" and ")):
            publishers.switch_off(protection)
        await publishers.publish(settings)

    await trial.work(count=500)

    await trial.judge(f"publishers' {off}", "publishers at once", where="control log")
