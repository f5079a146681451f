"""Each protection switched off in turn: the oracle has to find the damage that it keeps out.

Beside each is the same run with the protection on, where nothing may be found. So neither the fault nor
the oracle can have gone blind.
"""

import signal
from dataclasses import dataclass

import pytest

from tests.support.faults.bad import good
from tests.support.faults.damage import remove_everything
from tests.support.faults.interrupted import MESSAGES, goes_on, interrupted, promoted
from tests.support.faults.ledger import Ledger
from tests.support.faults.oracle import Findings
from tests.support.faults.plan import Plan
from tests.support.faults.protections import DEAF, FORGETTING, GAPS
from tests.support.faults.rig import Rig
from tests.support.faults.sleep import FIRST, SECOND, SMALL, asleep, opened, sleep_through, wake
from tests.support.faults.topics import configure, delete_waiting, make_anew
from tests.support.installation import until
from tests.support.traffic import traffic

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Trial:
    """A protection on or off, and what has to come of it."""

    ledger: Ledger
    on: bool

    def off(self, protection: str) -> tuple[str, ...]:
        """What to switch off."""
        return () if self.on else (protection,)

    def judge(
        self, protection: str, fault: str, findings: Findings, *, where: str, messages: int = FIRST
    ) -> None:
        """Nothing with the protection on; with it off something in this place."""
        if self.on:
            assert findings.nothing, str(findings)
        else:
            self.ledger.settle_without(protection, fault, findings, messages=messages, where=where)


@pytest.fixture(params=["on", "off"])
def trial(request: pytest.FixtureRequest, ledger: Ledger) -> Trial:
    return Trial(ledger, request.param == "on")


@pytest.fixture
def without(ledger: Ledger) -> Trial:
    """For what has its run with the protection on in test_stops.py."""
    return Trial(ledger, on=False)


async def killed_once(ground: Rig, point: str, off: tuple[str, ...], *, then: str = "one") -> Findings:
    """A worker killed at the point and another with the same protections to the end, in this data folder."""
    await ground.send_transactions(traffic(FIRST))
    with ground.run(Plan(point, 8, off=[*off]), **SMALL) as worker:
        assert await worker.ended() == -signal.SIGKILL, worker.tail()
    await goes_on(ground, datadir=then, off=off)
    return await ground.audited()


async def test_rows_are_committed_before_kafka(ground: Rig, trial: Trial) -> None:
    """With Kafka first, a crash between the two loses the batch's rows; and who looks for them would stop."""
    protection = "Postgres before Kafka"

    findings = await killed_once(ground, "scored", trial.off(protection) + trial.off(FORGETTING))

    trial.judge(protection, "SIGKILL between Kafka and Postgres", findings, where="rows")


async def test_only_committed_changes_are_restored(ground: Rig, trial: Trial) -> None:
    """With aborted changes in the windows, a crash within the transaction skips its records for good."""
    protection = "restoring what was committed alone"

    # The windows are restored from the changelog alone, as on another machine.
    findings = await killed_once(ground, "output filled", trial.off(protection), then="another")

    trial.judge(protection, "SIGKILL in the Kafka transaction", findings, where="scored")


async def test_rows_below_the_stored_offset_are_passed_over(ground: Rig, trial: Trial) -> None:
    """The key would drop them too: without it, only the stored offset keeps a replayed row out."""
    protection = "the stored offset's leaving rows out"
    async with ground.postgres() as connection:
        await connection.execute("ALTER TABLE transactions DROP CONSTRAINT transactions_pkey")

    findings = await killed_once(ground, "rows committed", trial.off(protection))

    trial.judge(protection, "SIGKILL after the rows, no primary key", findings, where="rows")


async def test_what_a_window_has_learned_from_is_not_scored_again(ground: Rig, trial: Trial) -> None:
    """The group's offsets set back: all is read again, and only the windows know that it was finished."""
    protection = "the offset in each window"
    await interrupted(ground)
    await goes_on(ground)
    await ground.set_group(dict.fromkeys(await ground.offsets(), 0))

    await goes_on(ground, off=trial.off(protection))

    findings = await ground.audited()
    trial.judge(protection, "group's offsets set back", findings, where="scored", messages=MESSAGES)


async def test_an_id_that_comes_again_is_not_scored_again(ground: Rig, trial: Trial) -> None:
    protection = "the ids in each window"
    messages = [good(sent) for sent in traffic(FIRST) for _ in range(2)]
    await ground.send_messages(messages)

    await goes_on(ground, off=trial.off(protection))

    findings = await ground.audited()
    trial.judge(protection, "every message twice", findings, where="scored", messages=len(messages))


async def test_windows_are_restored_before_they_are_scored_on(ground: Rig, trial: Trial) -> None:
    protection = "restoring from the changelog"
    await interrupted(ground)
    remove_everything(ground.datadirs[0] / "windows")

    await goes_on(ground, off=trial.off(protection))

    findings = await ground.audited()
    trial.judge(protection, "RocksDB: remove everything", findings, where="scored", messages=MESSAGES)


async def test_a_changelog_made_anew_is_noticed(ground: Rig, without: Trial) -> None:
    """Without local windows nothing else tells that there were some."""
    protection = "knowing how far the changelog reached"
    await interrupted(ground)
    await make_anew(ground, f"{ground.environment['TXNWATCH_APP_ID']}-windows-changelog")

    await goes_on(ground, datadir="another", off=without.off(protection))

    findings = await ground.audited()
    without.judge(protection, "changelog made anew", findings, where="scored", messages=MESSAGES)


async def test_a_source_made_anew_is_noticed(ground: Rig, without: Trial) -> None:
    """The group's offsets tell, too, as they go past its end; else its records are taken for replayed."""
    protection = "knowing how far the source reached"
    await interrupted(ground)
    await make_anew(ground, ground.transactions)
    await ground.send_transactions(traffic(100, seed=2))

    before = len(ground.events("output committed"))
    with ground.run(Plan(off=[*without.off(protection), GAPS])) as worker:
        await ground.noted("output committed", count=before + 4)
        assert await worker.stop() == 0, worker.tail()

    findings = await ground.audited()
    without.judge(protection, "source made anew", findings, where="scored", messages=MESSAGES + 100)


@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "forgotten"])
async def test_records_that_are_gone_are_noticed(ground: Rig, without: Trial, *, forgotten: bool) -> None:
    protection = GAPS
    await interrupted(ground)
    log = await ground.read("TXNWATCH_TRANSACTIONS_TOPIC")
    await delete_waiting(ground, 5)
    if forgotten:
        await ground.forget_group()

    await goes_on(ground, off=without.off(protection))

    findings = await ground.audited(log=log)
    fault = f"source records deleted{', group forgotten' * forgotten}"
    without.judge(protection, fault, findings, where="scored", messages=MESSAGES)


async def test_rows_that_postgres_forgot_are_noticed(ground: Rig, without: Trial) -> None:
    protection = FORGETTING
    await interrupted(ground)
    async with promoted(ground):
        await goes_on(ground, off=without.off(protection))
        findings = await ground.audited()

    fault = "Postgres: a standby without the last commits"
    without.judge(protection, fault, findings, where="rows", messages=MESSAGES)


async def test_a_batch_that_the_broker_does_not_take_is_noticed(ground: Rig, without: Trial) -> None:
    """aiokafka commits a transaction without it."""
    protection = "seeing each batch arrive"
    await interrupted(ground)
    anomalies = ground.environment["TXNWATCH_ANOMALIES_TOPIC"]
    await configure(ground, anomalies, max_message_bytes=100)

    await goes_on(ground, off=without.off(protection))

    findings = await ground.audited()
    without.judge(
        protection, "flags larger than their topic takes", findings, where="anomalies", messages=MESSAGES
    )


async def test_a_former_owner_is_fenced_from_kafka(ground: Rig, trial: Trial) -> None:
    """Without fencing, a batch under way when its owner fell asleep is committed when it wakes."""
    protection = "fencing of producers"
    plan = Plan("rows committed", 3, signal.SIGSTOP, [*trial.off(protection)])

    nap = await sleep_through(ground, plan, seed=1, off=trial.off(protection))

    assert (nap.commits_before_opening > 0) is not trial.on
    findings = await ground.audited()
    trial.judge(protection, "SIGSTOP past the session", findings, where="scored", messages=FIRST + SECOND)


async def test_a_former_owner_is_shut_out_of_postgres(ground: Rig, trial: Trial) -> None:
    """An owner that sleeps between restoring and starting goes to the new offset with its old windows."""
    protection = "epochs in Postgres"
    plan = Plan("opened", 4, signal.SIGSTOP, [DEAF, *trial.off(protection)])
    transactions = traffic(FIRST + 400, users=20)
    await ground.send_transactions(transactions[:FIRST])

    with ground.run(plan, datadir="sleeper", **SMALL) as sleeper:
        await asleep(sleeper)
        with ground.run(datadir="other", **SMALL) as other:
            await ground.finish(other)
            other.process.send_signal(signal.SIGSTOP)
            await ground.send_transactions(transactions[FIRST:])
            woken = wake(sleeper)
            await ground.noted("refused" if trial.on else "rows committed", pid=sleeper.process.pid)
            other.process.send_signal(signal.SIGCONT)
            await until(lambda: opened(ground, sleeper, after=woken))
            await ground.finish(sleeper, other)
            for worker in (sleeper, other):
                assert await worker.stop() == 0, worker.tail()

    findings = await ground.audited()
    trial.judge(
        protection,
        "SIGSTOP between restoring and starting",
        findings,
        where="rows",
        messages=len(transactions),
    )
