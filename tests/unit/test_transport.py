"""The methods of Faust that ours take the place of, as they are in the series that we are pinned to."""

# ruff: noqa: SLF001 - what is held against here is not public

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import TopicPartition
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, Fetcher
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

import stream_app.sinks.kafka  # noqa: F401 - for what it changes in aiokafka
from stream_app.faust_adapter.consumer import KEEPING_UP, BatchConsumer
from stream_app.faust_adapter.recovery import PartitionRecovery

EXPECTED: dict[Callable[..., Any], list[str]] = {
    Consumer._drain_messages: ["self", "fetcher"],
    Consumer.ack: ["self", "message"],
    Consumer.wait_empty: ["self"],
    Consumer.commit: ["self", "topics", "start_new_transaction"],
    Consumer.perform_seek: ["self"],
    Consumer.on_partitions_revoked: ["self", "revoked"],
    Consumer.on_partitions_assigned: ["self", "assigned", "generation_id"],
    Consumer._to_message: ["self", "tp", "record"],
    Consumer._get_active_partitions: ["self"],
    Consumer.stop_flow: ["self"],
    Consumer.resume_flow: ["self"],
    Fetcher.on_stop: ["self"],
    stock.Producer.key_partition: ["self", "topic", "key"],
    Recovery._set_recovery_ended: ["self"],
    Recovery._wait: ["self", "coro", "timeout"],
    Recovery.on_rebalance: ["self", "assigned", "revoked", "newly_assigned", "generation_id"],
    faust.Schema.loads_value: ["self", "app", "message", "loads", "serializer"],
    faust.Schema.loads_key: ["self", "app", "message", "loads", "serializer"],
    faust.Table._new_store: ["self"],
    faust.Worker._schedule_shutdown: ["self", "signal"],
}
TASKS = [Recovery._restart_recovery, Recovery._slurp_changelogs, Recovery._publish_stats]


def test_faust_is_of_the_series_whose_methods_are_overridden() -> None:
    assert faust.__version__.startswith("0.15.")


@pytest.mark.parametrize("method", EXPECTED, ids=lambda method: method.__qualname__)
def test_an_overridden_or_called_method_takes_what_it_took(method: Callable[..., Any]) -> None:
    assert list(inspect.signature(method).parameters) == EXPECTED[method]


def test_the_recovery_tasks_that_are_replaced_are_still_there() -> None:
    assert [task.fun.__name__ for task in TASKS] == [
        "_restart_recovery",
        "_slurp_changelogs",
        "_publish_stats",
    ]


@dataclass
class OnePartition:
    """What a pump asks of aiokafka's consumer: each fetch brings what there is, up to so many records."""

    waiting: int
    at: int = 0
    paused: bool = False
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    async def getmany(
        self, source: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[SimpleNamespace]]:
        assert timeout_ms > 0
        assert not self.paused
        if self.at == self.waiting:
            self.drained.set()
            await asyncio.get_running_loop().create_future()
        first, self.at = self.at, min(self.at + max_records, self.waiting)
        return {source: [SimpleNamespace(offset=offset, timestamp=0) for offset in range(first, self.at)]}

    def last_stable_offset(self, _source: TopicPartition) -> int:
        return self.waiting

    def highwater(self, _source: TopicPartition) -> int:
        return self.waiting

    def pause(self, _source: TopicPartition) -> None:
        self.paused = True

    def resume(self, _source: TopicPartition) -> None:
        self.paused = False


SOURCE = TP("transactions", 0)


def consumer_of(partition: OnePartition, batch_size: int, seen: list[tuple[int, bool]]) -> BatchConsumer:
    """Notes each batch's size, and whether the partition was paused during it."""

    async def take(message: Any) -> None:
        seen.append((len(message.value.records), partition.paused))
        consumer.ack(message)

    consumer = object.__new__(BatchConsumer)
    consumer._consumer, consumer.callback, consumer._unacked_messages = partition, take, set()
    consumer.app = SimpleNamespace(
        settings=SimpleNamespace(batch_size=batch_size),
        consumer_generation_id=1,
        monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None),
    )
    return consumer


async def pumped(partition: OnePartition, batch_size: int) -> list[tuple[int, bool]]:
    """What was noted until nothing is left."""
    seen: list[tuple[int, bool]] = []
    pump = asyncio.create_task(consumer_of(partition, batch_size, seen)._pump(SOURCE))
    async with asyncio.timeout(30):
        await partition.drained.wait()
    pump.cancel()
    return seen


async def test_a_partition_that_keeps_up_is_paused_during_its_batch() -> None:
    assert await pumped(OnePartition(waiting=10), batch_size=100) == [(10, True)]


async def test_a_partition_that_is_behind_is_fetched_ahead_however_small_its_batches() -> None:
    seen = await pumped(OnePartition(waiting=KEEPING_UP + 500), batch_size=100)

    assert [size for size, _ in seen] == [100] * 15
    assert [paused for _, paused in seen] == [False] * 5 + [True] * 10


async def test_who_had_no_partition_pumps_those_that_a_rebalance_brings() -> None:
    """Faust does not stop the flow of one that has none before it lets it go on."""
    active: set[TP] = set()
    partition, looked = OnePartition(waiting=10), asyncio.Event()

    def partitions() -> set[TP]:
        looked.set()
        return active

    consumer = consumer_of(partition, 100, [])
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer._flow_changed = asyncio.Event()
    consumer._source_partitions = partitions  # type: ignore[method-assign]
    consumer._shutdown, consumer._stopped, consumer._crashed = (asyncio.Event() for _ in range(3))
    pumping = asyncio.create_task(consumer._pump_all(SimpleNamespace(should_stop=False)))
    async with asyncio.timeout(30):
        consumer.resume_flow()
        await looked.wait()
        active.add(SOURCE)
        consumer.resume_flow()
        await partition.drained.wait()
    pumping.cancel()


@pytest.mark.parametrize("another", [False, True])
async def test_messages_flow_only_when_no_rebalance_has_begun_since(*, another: bool) -> None:
    """Faust's own recovery lets them flow in any case."""
    flowing: list[bool] = []

    class Watched(PartitionRecovery):
        def _set_recovery_ended(self) -> None: ...

        async def _wait(self, waited: Any) -> None:
            await waited

        async def _go_on(self) -> None:
            flowing.append(True)

    async def acquire(_partitions: list[int]) -> bool:
        return True

    async def perform_seek() -> None:
        recovery.app.rebalancing_count += another

    async def send() -> None: ...

    recovery = object.__new__(Watched)
    recovery.active_tps = {SOURCE}
    recovery.app = SimpleNamespace(
        rebalancing_count=1,
        ownership=SimpleNamespace(acquire=acquire),
        on_rebalance_complete=SimpleNamespace(send=send),
        consumer=SimpleNamespace(perform_seek=perform_seek),
    )
    await recovery._recover(1)

    assert bool(flowing) is not another


def test_recovery_is_a_property_of_the_table_manager() -> None:
    assert isinstance(TableManager.recovery, property)
