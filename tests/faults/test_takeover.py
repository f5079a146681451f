"""Two workers that take a partition over at once, step by step in the worst order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from infra.runtime.kafka import check_topics
from infra.runtime.shared_client import ClientPool
from schemas.transaction import Decoder
from stream_app.batch import Batch, Output
from stream_app.ownership import Ownership
from stream_app.pipeline import Pipeline, Publisher
from stream_app.settings import Settings
from stream_app.sinks.disabled import NoMirror
from stream_app.sinks.kafka import committed_positions
from stream_app.sinks.postgres import PostgresRows, TakenOver, connect
from stream_app.state.decided.deciding import Deciders, Deciding
from stream_app.state.decided.feed import ControlFeed
from stream_app.state.store import WindowStore
from stream_app.takeover import TakeOver
from tests.support.detectors import rolling_scorer
from tests.support.faults.oracle import replay
from tests.support.faults.rig import Rig
from tests.support.installation import until
from tests.support.outputs import transactional_output
from tests.support.traffic import traffic

SIZE = 100


class Gate:
    """Where one waits until the test lets it through."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.open.wait()


class SlowRows(PostgresRows):
    """Waits before it raises an epoch."""

    gate: Gate | None = None

    async def take_over(self, partition: int) -> TakenOver:
        if self.gate is not None:
            await self.gate()
        return await super().take_over(partition)


class SlowPublisher:
    """Waits before it commits, when there is a gate."""

    def __init__(self, publisher: Publisher, gate: Gate | None) -> None:
        self._publisher = publisher
        self._gate = gate

    async def commit(self, output: Output) -> int | None:
        if self._gate is not None:
            await self._gate()
        return await self._publisher.commit(output)


async def failed(error: Exception) -> None:
    raise error


@asynccontextmanager
async def owner(
    settings: Settings, folder: Path, *, before_epoch: Gate | None = None, before_commit: Gate | None = None
) -> AsyncIterator[Ownership]:
    """A worker's ownership of partitions, without the group around it."""
    store = WindowStore(folder, cache_bytes=1 << 20, buffer_bytes=1 << 20)
    async with connect(settings.postgres.get_secret_value()) as pool:
        rows = SlowRows(pool, settings.transactions_topic, app_id=settings.app_id, retry_seconds=5)
        rows.gate = before_epoch

        def make_pipeline(epoch: int, publisher: Publisher, _: Deciding) -> Pipeline:
            return Pipeline(
                epoch,
                SlowPublisher(publisher, before_commit),
                decoder=Decoder(),
                scorer=rolling_scorer(),
                windows=store,
                rows=rows,
                mirror=NoMirror(),
                count=Counter[str]().update,
            )

        clients = ClientPool(settings, "output")
        take_over = TakeOver(
            settings,
            store=store,
            rows=rows,
            mirror=NoMirror(),
            deciders=Deciders(settings),
            feed=ControlFeed(settings),
            clients=clients,
            positions=partial(committed_positions, settings),
            make_pipeline=make_pipeline,
            rejoin=lambda _: None,
            fail=failed,
        )
        ownership = Ownership(settings, partial(check_topics, settings, settings.topics), take_over)
        try:
            yield ownership
        finally:
            await ownership.release()
            await clients.close()


async def test_one_that_was_overtaken_while_taking_over_writes_no_row(ground: Rig, tmp_path: Path) -> None:
    """Its windows may lack the last batch of the other, which it would not see when it goes to the offset."""
    settings = Settings.model_validate(ground.environment)
    await ground.send_transactions(traffic(4 * SIZE, users=1))
    log = await ground.read("TXNWATCH_TRANSACTIONS_TOPIC")
    partition = log[0].partition
    first = Batch(partition, log[:SIZE])
    before_epoch, before_commit = Gate(), Gate()

    async with (
        owner(settings, tmp_path / "slow", before_epoch=before_epoch) as slow,
        owner(settings, tmp_path / "quick", before_commit=before_commit) as quick,
    ):
        opening = asyncio.create_task(slow.acquire([partition]))
        await before_epoch.reached.wait()
        await quick.acquire([partition])
        working = asyncio.create_task(quick.process(first))
        await before_commit.reached.wait()  # the rows are in Postgres
        before_epoch.open.set()
        await opening
        before_commit.open.set()
        at = SIZE if await working else 0

        async def committed() -> bool:  # an offset is there for others a little after its commit
            return (await ground.offsets()).get(partition, 0) == at

        await until(committed)
        await slow.process(Batch(partition, log[at:]))

    expected = replay(log).rows
    rows = {(row["id"], row["txn_date"], row["user_id"]): row for row in await ground.rows()}
    assert len(expected) > SIZE
    assert {key: row for key, row in rows.items() if row != expected[key]} == {}


@pytest.mark.parametrize("second", ["epoch", "producer"])
async def test_either_half_of_a_take_over_shuts_the_former_owner_out(
    ground: Rig, tmp_path: Path, second: str
) -> None:
    settings = Settings.model_validate(ground.environment)
    await ground.send_transactions(traffic(SIZE, users=1))
    log = await ground.read("TXNWATCH_TRANSACTIONS_TOPIC")
    partition = log[0].partition

    async with owner(settings, tmp_path / "former") as former:
        await former.acquire([partition])
        if second == "epoch":
            pool: asyncpg.Pool
            async with connect(settings.postgres.get_secret_value()) as pool:
                await PostgresRows(
                    pool, settings.transactions_topic, app_id=settings.app_id, retry_seconds=5
                ).take_over(partition)
        else:
            async with transactional_output(partition, settings):
                pass
        assert not await former.process(Batch(partition, log))

    assert await ground.read("TXNWATCH_SCORED_TOPIC") == []
    assert len(await ground.rows()) == (0 if second == "epoch" else SIZE)
