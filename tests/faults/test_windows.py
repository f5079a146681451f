"""RocksDB's files gone, cut short, changed or in use: restored or refused, and never scored on."""

import signal
import time

import pytest

from stream_app.state.store import WindowStore
from tests.support.faults.damage import (
    Damage,
    cut_a_table,
    cut_the_manifest,
    empty_the_pointer,
    flip_bits,
    remove_everything,
    remove_one_database,
    remove_the_manifest,
)
from tests.support.faults.interrupted import MESSAGES, goes_on, interrupted, refuses
from tests.support.faults.ledger import Ledger
from tests.support.faults.rig import Rig
from tests.support.installation import until

MANY = 1000
"""Users enough for tables of many blocks, of which opening reads the first alone."""


@pytest.mark.parametrize(
    ("damage", "ending"),
    [
        pytest.param(remove_everything, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(remove_everything, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(remove_one_database, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(cut_a_table, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(cut_the_manifest, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(remove_the_manifest, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(empty_the_pointer, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(flip_bits, signal.SIGTERM),
    ],
)
async def test_damaged_windows_are_restored_and_never_scored_on(
    ground: Rig, ledger: Ledger, damage: Damage, ending: signal.Signals
) -> None:
    await interrupted(ground, users=MANY, ending=ending)
    damage(ground.datadirs[0] / "windows")
    began = time.time()

    await goes_on(ground)

    ledger.settle(
        f"RocksDB: {damage.__name__.replace('_', ' ')}",
        await ground.audited(),
        injected=1,
        in_flight=1,
        messages=MESSAGES,
        recovery=ground.recoveries(began),
    )


@pytest.mark.slow
async def test_damage_that_only_the_mirror_meets_is_mended_too(ground: Rig, ledger: Ledger) -> None:
    """Nobody's transaction asks for the damaged windows, but Redis is to have them."""
    await interrupted(ground, users=MANY)
    await goes_on(ground)
    flip_bits(ground.datadirs[0] / "windows")
    await ground.flush_mirror()
    users = len({change.key for change in await ground.read_changelog()})

    with ground.run() as worker:

        async def all_are_there() -> bool:
            assert worker.process.poll() is None, worker.tail()
            return len(await ground.mirrored()) == users

        await until(all_are_there)
        assert "windows are damaged: " in worker.log.read_text()
        assert await worker.stop() == 0, worker.tail()

    findings = await ground.audited()
    ledger.settle("RocksDB: flip bits, idle", findings, injected=1, in_flight=0, messages=MESSAGES)


@pytest.mark.slow
async def test_windows_that_another_process_has_open_are_refused(ground: Rig, ledger: Ledger) -> None:
    await interrupted(ground)
    store = WindowStore(ground.datadirs[0] / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.open(0)
    try:
        findings = await refuses(ground, says="lock")
    finally:
        store.close(0)
    assert findings.nothing, str(findings)

    await goes_on(ground)

    findings = await ground.audited()
    ledger.settle("RocksDB: locked", findings, injected=1, in_flight=1, messages=MESSAGES, stops=True)
