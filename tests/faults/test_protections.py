"""Each protection switched off in turn: the oracle has to find the damage that it keeps out.

Beside each is the same run with the protection on, where nothing may be found. So neither the fault nor
the oracle can have gone blind.
"""

import signal

import pytest

from tests.faults.oracle import Findings
from tests.faults.plan import Plan
from tests.faults.rig import Rig
from tests.faults.sleep import FIRST, SMALL, asleep, opened, sleep_through, wake
from tests.installation import until
from tests.traffic import traffic

pytestmark = pytest.mark.slow

ON_AND_OFF = pytest.mark.parametrize("switched", ["on", "off"])


def assert_found(findings: Findings, switched: str, *, where: str) -> None:
    """Nothing with the protection on; with it off something in this place."""
    if switched == "on":
        assert findings.nothing, str(findings)
    else:
        found = [*findings.lost, *findings.doubled, *findings.wrong]
        assert [one for one in found if one.startswith(where)], str(findings)


async def killed_once(ground: Rig, plan: Plan) -> Findings:
    """A worker killed by the plan and another with the same protections to the end."""
    await ground.send_transactions(traffic(FIRST))
    with ground.run(plan, **SMALL) as worker:
        assert await worker.ended() == -signal.SIGKILL, worker.tail()
    with ground.run(Plan(off=plan.off), **SMALL) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    return await ground.audited()


def off(switched: str, *protections: str) -> list[str]:
    return [*protections] if switched == "off" else []


@ON_AND_OFF
async def test_rows_are_committed_before_kafka(ground: Rig, switched: str) -> None:
    """With Kafka first, a crash between the two loses the batch's rows."""
    findings = await killed_once(ground, Plan("scored", 8, off=off(switched, "rows first")))

    assert_found(findings, switched, where="rows")


@ON_AND_OFF
async def test_only_committed_changes_are_restored(ground: Rig, switched: str) -> None:
    """With aborted changes in the windows, a crash within the transaction skips its records for good."""
    plan = Plan("outbox filled", 8, off=off(switched, "committed reads"))

    # The windows are restored from the changelog alone, as on another machine.
    await ground.send_transactions(traffic(FIRST))
    with ground.run(plan, **SMALL) as worker:
        assert await worker.ended() == -signal.SIGKILL, worker.tail()
    with ground.run(Plan(off=plan.off), datadir="another", **SMALL) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()

    assert_found(await ground.audited(), switched, where="scored")


@ON_AND_OFF
async def test_rows_below_the_stored_offset_are_passed_over(ground: Rig, switched: str) -> None:
    """The key would drop them too: without it, only the stored offset keeps a replayed row out."""
    async with ground.postgres() as connection:
        await connection.execute("ALTER TABLE transactions DROP CONSTRAINT transactions_pkey")

    findings = await killed_once(ground, Plan("rows committed", 8, off=off(switched, "next offset")))

    assert_found(findings, switched, where="rows")


@ON_AND_OFF
async def test_what_a_window_has_learned_from_is_not_scored_again(ground: Rig, switched: str) -> None:
    """The group's offsets set back: all is read again, and only the windows know that it was finished."""
    await ground.send_transactions(traffic(FIRST))
    with ground.run(**SMALL) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    await ground.set_back()

    with ground.run(Plan(off=off(switched, "window guard")), **SMALL) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()

    assert_found(await ground.audited(), switched, where="scored")


@ON_AND_OFF
async def test_a_former_owner_is_fenced_from_kafka(ground: Rig, switched: str) -> None:
    """Without fencing, a batch under way when its owner fell asleep is committed when it wakes."""
    fenceless = off(switched, "fencing")
    plan = Plan("rows committed", 3, signal.SIGSTOP, fenceless)

    nap = await sleep_through(ground, plan, seed=1, off=tuple(fenceless))

    assert (nap.commits_before_opening > 0) is (switched == "off")
    assert_found(await ground.audited(), switched, where="anomalies" if switched == "on" else "scored")


@ON_AND_OFF
async def test_a_former_owner_is_shut_out_of_postgres(ground: Rig, switched: str) -> None:
    """An owner that sleeps between restoring and starting goes to the new offset with its old windows."""
    deaf = ["hearing of rebalances"]
    plan = Plan("windows restored", 4, signal.SIGSTOP, [*deaf, *off(switched, "epoch")])
    transactions = traffic(FIRST + 400, users=20)
    await ground.send_transactions(transactions[:FIRST])

    with ground.run(plan, datadir="sleeper", **SMALL) as sleeper:
        await asleep(sleeper)
        with ground.run(datadir="other", **SMALL) as other:
            await ground.finish(other)
            other.process.send_signal(signal.SIGSTOP)
            await ground.send_transactions(transactions[FIRST:])
            woken = wake(sleeper)
            what = "rows committed" if switched == "off" else "refused"
            await ground.noted(what, pid=sleeper.process.pid)
            other.process.send_signal(signal.SIGCONT)
            await until(lambda: opened(ground, sleeper, after=woken))
            await ground.finish(sleeper, other)
            for worker in (sleeper, other):
                assert await worker.stop() == 0, worker.tail()

    assert_found(await ground.audited(), switched, where="rows")
