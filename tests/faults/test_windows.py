"""The local windows damaged, and Kafka's topics not what they were: rebuilt, or a loud stop."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from stream_app.windows import WindowStore
from tests.faults.ledger import Ledger
from tests.faults.rig import Rig
from tests.traffic import traffic

FIRST, SECOND = 3000, 1000
SMALL = {"TXNWATCH_BATCH_SIZE": "100"}

Damage = Callable[[Path], None]


def remove_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_one_database(folder: Path) -> None:
    shutil.rmtree(next(databases(folder)))


def cut_a_table(folder: Path) -> None:
    for database in databases(folder):
        cut(largest(database, "*.sst"))


def cut_the_log(folder: Path) -> None:
    for database in databases(folder):
        cut(largest(database, "*.log"))


def cut_the_manifest(folder: Path) -> None:
    for database in databases(folder):
        cut(largest(database, "MANIFEST-*"))


def remove_the_manifest(folder: Path) -> None:
    for database in databases(folder):
        largest(database, "MANIFEST-*").unlink()


def flip_bits(folder: Path) -> None:
    """In the data of every table, which is seen only when a block is read."""
    for table in folder.glob("*/*.sst"):
        data = bytearray(table.read_bytes())
        for at in range(len(data) // 3, len(data) // 2):
            data[at] ^= 0x10
        table.write_bytes(data)


def databases(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("windows-*.db"))


def largest(database: Path, pattern: str) -> Path:
    return max(database.glob(pattern), key=lambda path: path.stat().st_size)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


async def worked(ground: Rig, *, ending: signal.Signals) -> None:
    """A worker that scored the first transactions and then ended."""
    await ground.send_transactions(traffic(FIRST + SECOND)[:FIRST])
    with ground.run(**SMALL) as worker:
        await ground.finish(worker)
        worker.process.send_signal(ending)
        assert await worker.ended() in {0, -ending}, worker.tail()


@pytest.mark.parametrize(
    ("damage", "ending"),
    [
        pytest.param(remove_everything, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(remove_one_database, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(cut_a_table, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(cut_the_log, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(cut_the_manifest, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(remove_the_manifest, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(flip_bits, signal.SIGTERM),
    ],
)
async def test_damaged_windows_are_restored_and_never_scored_on(
    ground: Rig, ledger: Ledger, damage: Damage, ending: signal.Signals
) -> None:
    await worked(ground, ending=ending)
    damage(ground.datadirs[0] / "windows")
    await ground.send_transactions(traffic(FIRST + SECOND)[FIRST:])

    with ground.run() as worker:
        began = time.time()
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()

    ledger.settle(
        f"RocksDB: {damage.__name__.replace('_', ' ')}",
        await ground.audited(),
        injected=1,
        in_flight=1,
        messages=FIRST + SECOND,
        recovery=ground.recoveries(began),
    )


async def refuses(ground: Rig, *, says: str, datadir: str = "one") -> None:
    """A worker ends by itself with an error that says so, and commits nothing."""
    before = await ground.offsets()
    with ground.run(datadir=datadir) as worker:
        assert await worker.ended() not in {0, -signal.SIGKILL}
    assert says in worker.log.read_text(), worker.tail()
    assert await ground.offsets() == before


@pytest.mark.slow
async def test_windows_that_another_process_has_open_are_refused(ground: Rig) -> None:
    await worked(ground, ending=signal.SIGTERM)
    store = WindowStore(ground.datadirs[0] / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.open(0)
    try:
        await ground.send_transactions(traffic(FIRST + SECOND)[FIRST:])
        await refuses(ground, says="lock")
    finally:
        store.close(0)

    with ground.run() as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()
    findings = await ground.audited()
    assert findings.nothing, str(findings)


@pytest.mark.slow
@pytest.mark.parametrize("datadir", ["one", "another"])
async def test_a_changelog_made_anew_is_a_loud_stop(ground: Rig, datadir: str) -> None:
    """With the windows of before, and without any: those would be scored on as if users were new."""
    await worked(ground, ending=signal.SIGTERM)
    name = f"{ground.environment['TXNWATCH_APP_ID']}-windows-changelog"
    await make_anew(ground, name)
    await ground.send_transactions(traffic(FIRST + SECOND)[FIRST:])

    await refuses(ground, datadir=datadir, says="it was truncated or made anew")


@pytest.mark.slow
async def test_a_source_made_anew_is_a_loud_stop(ground: Rig) -> None:
    await worked(ground, ending=signal.SIGTERM)
    await make_anew(ground, ground.transactions)
    await ground.send_transactions(traffic(FIRST + SECOND)[FIRST : FIRST + 10])

    await refuses(ground, says="it was truncated or made anew")


@pytest.mark.slow
async def test_source_records_deleted_before_they_were_scored_are_a_loud_stop(ground: Rig) -> None:
    await worked(ground, ending=signal.SIGTERM)
    await ground.send_transactions(traffic(FIRST + SECOND)[FIRST:])
    offsets = await ground.offsets()
    async with ground.administration() as admin:
        await admin.delete_records(
            {
                TopicPartition(ground.transactions, partition): RecordsToDelete(before_offset=offset + 5)
                for partition, offset in offsets.items()
            }
        )

    await refuses(ground, says="no longer in Kafka")


async def make_anew(ground: Rig, topic: str) -> None:
    """Delete a topic and create it again, empty."""
    async with ground.administration() as admin:
        await admin.delete_topics([topic])
        # The broker takes a name again only once all of the former topic is gone.
        for _ in range(100):
            response = await admin.create_topics(
                [NewTopic(name=topic, num_partitions=4, replication_factor=1)]
            )
            if not response.topic_errors[0][1]:
                return
    raise AssertionError(f"{topic} could not be created again")
