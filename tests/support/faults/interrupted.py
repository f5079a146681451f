"""A worker that ends in the middle of its work; and the next one, which goes on or refuses to."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.faults.audit import changes, written
from tests.support.faults.oracle import Findings
from tests.support.faults.plan import Plan
from tests.support.faults.rig import Rig
from tests.support.services import copied_database
from tests.support.traffic import traffic

MESSAGES = 6000
SMALL = {"TXNWATCH_BATCH_SIZE": "50"}


async def interrupted(ground: Rig, *, users: int = 50, ending: signal.Signals = signal.SIGTERM) -> None:
    """A worker that was ended with work waiting."""
    await ground.send_transactions(traffic(MESSAGES, users=users))
    await _worked(ground, ending)


async def _worked(ground: Rig, ending: signal.Signals) -> None:
    """A worker that ends in the middle."""
    with ground.run(Plan("output committed", 20, ending), **SMALL) as worker:
        assert await worker.ended() in {0, -ending}, worker.tail()
    assert not await ground.finished()


@asynccontextmanager
async def promoted(ground: Rig) -> AsyncIterator[None]:
    """A copy of the database takes its place, and the worker has gone on for a while since it was made."""
    original = ground.environment["POSTGRES_URL"]
    async with copied_database(original) as standby:
        await _worked(ground, signal.SIGTERM)
        ground.environment["POSTGRES_URL"] = standby
        try:
            yield
        finally:
            ground.environment["POSTGRES_URL"] = original


async def goes_on(ground: Rig, *, datadir: str = "one", off: tuple[str, ...] = ()) -> None:
    """A worker that finishes all there is, and ends as an operator ends it."""
    with ground.run(Plan(off=[*off]), datadir=datadir) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()


async def refuses(ground: Rig, *, says: str, datadir: str = "one") -> Findings:
    """A worker that ends by itself with an error that says so; what it has changed meanwhile."""
    before, offsets = await written(ground), await ground.offsets()
    with ground.run(datadir=datadir) as worker:
        assert await worker.ended() not in {0, -signal.SIGKILL}
    assert says in worker.log.read_text(), worker.tail()
    findings = changes(before, await written(ground))
    findings.compare("committed offset", offsets, (await ground.offsets()).items())
    return findings
