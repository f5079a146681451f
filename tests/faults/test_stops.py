"""What cannot be gone on from is a stop that says why and changes nothing; what it advises leads on."""

import shutil

import pytest

from tests.support.faults.interrupted import MESSAGES, goes_on, interrupted, promoted, refuses
from tests.support.faults.ledger import Ledger
from tests.support.faults.oracle import Findings
from tests.support.faults.rig import Rig
from tests.support.faults.topics import configure, delete_waiting, make_anew
from tests.support.traffic import traffic

pytestmark = pytest.mark.slow

PUBLISHED = ("scored", "anomalies", "dead letters")


def settle(ledger: Ledger, fault: str, findings: Findings) -> None:
    ledger.settle(fault, findings, injected=1, in_flight=1, messages=MESSAGES, stops=True)


async def start_over(ground: Rig) -> None:
    """What is advised where a topic was made anew."""
    code, said = await ground.completed("txnwatch", "state", "start-over", "--yes")
    assert code == 0, said
    for folder in ground.datadirs:
        shutil.rmtree(folder / "windows", ignore_errors=True)


def but_published(found: list[str]) -> list[str]:
    """What was found anywhere but on the topics for readers, which have what came before, too."""
    return [one for one in found if not one.startswith(PUBLISHED)]


@pytest.mark.parametrize("datadir", ["one", "another"])
async def test_a_changelog_made_anew(ground: Rig, ledger: Ledger, datadir: str) -> None:
    """With the windows of before, and without any: those would be scored on as if users were new."""
    await interrupted(ground)
    await make_anew(ground, f"{ground.environment['TXNWATCH_APP_ID']}-windows-changelog")

    findings = await refuses(ground, datadir=datadir, says="-windows-changelog had the id ")

    settle(ledger, f"changelog made anew, windows in {datadir} folder", findings)
    await start_over(ground)
    await goes_on(ground, datadir="anew")
    findings = await ground.audited()
    assert findings.lost == []
    assert but_published([*findings.doubled, *findings.wrong]) == []


async def test_a_source_made_anew(ground: Rig, ledger: Ledger) -> None:
    await interrupted(ground)
    await make_anew(ground, ground.transactions)
    await ground.send_transactions(traffic(500, seed=2))

    findings = await refuses(ground, says="transactions had the id ")

    settle(ledger, "source made anew", findings)
    await start_over(ground)
    await goes_on(ground, datadir="anew")
    findings = await ground.audited()
    assert findings.lost == []
    assert all(one.startswith(("rows", "users")) for one in but_published(findings.doubled))
    assert but_published(findings.wrong) == []


@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "forgotten"])
async def test_source_records_deleted_before_they_were_scored(
    ground: Rig, ledger: Ledger, *, forgotten: bool
) -> None:
    """With the group's offsets, and without them, as long after the last worker has ended."""
    await interrupted(ground)
    log, reached = await ground.read("TXNWATCH_TRANSACTIONS_TOPIC"), await ground.offsets()
    beginnings = await delete_waiting(ground, 5)
    if forgotten:
        await ground.forget_group()

    findings = await refuses(ground, says="or only transaction markers")

    settle(ledger, f"source records deleted{', group forgotten' * forgotten}", findings)
    await ground.set_group(beginnings)
    await goes_on(ground)
    kept = [one for one in log if not reached[one.partition] <= one.offset < beginnings[one.partition]]
    findings = await ground.audited(log=kept)
    assert findings.nothing, str(findings)


async def test_a_standby_that_lacks_the_last_commits(ground: Rig, ledger: Ledger) -> None:
    await interrupted(ground)
    async with promoted(ground):
        findings = await refuses(ground, says="`txnwatch rows restore` stores the rows again")

        settle(ledger, "Postgres: a standby without the last commits", findings)
        code, said = await ground.completed("txnwatch", "rows", "restore")
        assert code == 0, said
        await goes_on(ground)
        findings = await ground.audited()
        assert findings.nothing, str(findings)


async def test_a_message_that_the_broker_does_not_take(ground: Rig, ledger: Ledger) -> None:
    """A flag larger than its topic allows: without it, the transaction would lack what readers wait for."""
    await interrupted(ground)
    await configure(ground, ground.environment["TXNWATCH_ANOMALIES_TOPIC"], max_message_bytes=100)

    with ground.run() as worker:
        assert await worker.ended() > 0
    assert "MessageSizeTooLarge" in worker.log.read_text(), worker.tail()

    await configure(ground, ground.environment["TXNWATCH_ANOMALIES_TOPIC"], max_message_bytes=1 << 20)
    await goes_on(ground)
    settle(ledger, "flags larger than their topic takes", await ground.audited())
