"""The methods of Faust that ours take the place of, as they are in the series that we are pinned to."""

# ruff: noqa: SLF001 - what is held against here is not public

import asyncio
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka import TopicPartition
from faust.stores.base import Store
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, Fetcher
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from stream_app.faust_adapter.consumer import BatchConsumer, BatchProducer
from stream_app.faust_adapter.message import BatchSchema
from stream_app.faust_adapter.pump import Pumps
from stream_app.faust_adapter.recovery import PartitionRecovery, PartitionTableManager
from stream_app.faust_adapter.table import ReadableWindows, WindowTable
from stream_app.faust_adapter.worker import BoundedWorker

OURS = [
    BatchConsumer,
    BatchProducer,
    BatchSchema,
    PartitionRecovery,
    PartitionTableManager,
    WindowTable,
    ReadableWindows,
    BoundedWorker,
]
EXPECTED: dict[Callable[..., Any], list[str]] = {
    Consumer.on_start: ["self"],
    Consumer.on_stop: ["self"],
    Consumer.close: ["self"],
    Consumer._new_topicpartition: ["self", "topic", "partition"],
    Consumer._drain_messages: ["self", "fetcher"],
    Consumer.ack: ["self", "message"],
    Consumer.wait_empty: ["self"],
    Consumer.commit: ["self", "topics", "start_new_transaction"],
    Consumer.perform_seek: ["self"],
    Consumer.on_partitions_revoked: ["self", "revoked"],
    Consumer.on_partitions_assigned: ["self", "assigned", "generation_id"],
    Consumer.subscribe: ["self", "topics"],
    Consumer.assignment: ["self"],
    Consumer.topic_partitions: ["self", "topic"],
    # These raise in ours.
    Consumer._commit: ["self", "offsets"],
    Consumer._getmany: ["self", "active_partitions", "timeout"],
    Consumer._seek: ["self", "partition", "offset"],
    Consumer._to_message: ["self", "tp", "record"],
    Consumer.seek_to_committed: ["self"],
    Consumer.seek_wait: ["self", "partitions"],
    Consumer.position: ["self", "tp"],
    Consumer.earliest_offsets: ["self", "partitions"],
    Consumer.highwaters: ["self", "partitions"],
    Consumer.highwater: ["self", "tp"],
    Consumer.key_partition: ["self", "topic", "key", "partition"],
    Consumer.create_topic: [
        "self",
        "topic",
        "partitions",
        "replication",
        "config",
        "timeout",
        "retention",
        "compacting",
        "deleting",
        "ensure_created",
    ],
    # To here.
    Consumer._get_active_partitions: ["self"],
    Consumer.stop_flow: ["self"],
    Consumer.resume_flow: ["self"],
    Fetcher.on_stop: ["self"],
    stock.Producer.key_partition: ["self", "topic", "key"],
    Recovery._set_recovery_ended: ["self"],
    Recovery._wait: ["self", "coro", "timeout"],
    Recovery.on_rebalance: ["self", "assigned", "revoked", "newly_assigned", "generation_id"],
    faust.Schema.loads_value: ["self", "app", "message", "loads", "serializer"],
    faust.Table._new_store: ["self"],
    Store.apply_changelog_batch: ["self", "batch", "to_key", "to_value"],
    Store.backup_partition: ["self", "tp", "flush", "purge", "keep"],
    Store.restore_backup: ["self", "tp", "latest", "backup_id"],
    Store.persisted_offset: ["self", "tp"],
    Store.reset_state: ["self"],
    faust.Worker._setup_logging: ["self"],
    faust.Worker.execute_from_commandline: ["self"],
    faust.Worker.on_worker_shutdown: ["self"],
    faust.Worker.stop_and_shutdown: ["self"],
    faust.Worker.on_startup_finished: ["self"],
    faust.Worker._schedule_shutdown: ["self", "signal"],
    faust.Worker.on_stop: ["self"],
}
TASKS = [Recovery._restart_recovery, Recovery._slurp_changelogs, Recovery._publish_stats]


def test_faust_is_of_the_series_whose_methods_are_overridden() -> None:
    assert faust.__version__.startswith("0.15.")


@pytest.mark.parametrize("method", EXPECTED, ids=lambda method: method.__qualname__)
def test_an_overridden_or_called_method_takes_what_it_took(method: Callable[..., Any]) -> None:
    assert list(inspect.signature(method).parameters) == EXPECTED[method]


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.__name__)
def test_no_method_that_is_overridden_is_left_out(ours: type[Any]) -> None:
    names = [name for name in vars(ours) if not name.startswith("__")]
    overridden = {name: getattr(super(ours, ours), name, None) for name in names}

    assert [name for name, one in overridden.items() if inspect.isfunction(one) and one not in EXPECTED] == []


def test_the_recovery_tasks_that_are_replaced_are_still_there() -> None:
    assert [task.fun.__name__ for task in TASKS] == [
        "_restart_recovery",
        "_slurp_changelogs",
        "_publish_stats",
    ]


SOURCE = TP("transactions", 0)


def test_pumps_run_while_messages_may_flow_and_for_source_partitions_alone() -> None:
    consumer = object.__new__(BatchConsumer)
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer._shutdown, consumer._stopped, consumer._crashed = (asyncio.Event() for _ in range(3))
    consumer.app = SimpleNamespace(tables=SimpleNamespace(changelog_topics={"changelog"}))
    consumer._active_partitions = {SOURCE, TP("changelog", 0)}
    restarted_with: list[set[TP]] = []
    pumps = SimpleNamespace(restart=lambda: restarted_with.append(consumer._flowing()))
    consumer._pumps = cast("Pumps[TP]", pumps)

    consumer.resume_flow()
    consumer.resume_flow()
    consumer.stop_flow()
    consumer._stopped.set()
    consumer.resume_flow()

    assert restarted_with == [{SOURCE}, {SOURCE}, set(), set()]


@pytest.mark.parametrize("another", [False, True])
async def test_messages_flow_only_when_no_rebalance_has_begun_since(*, another: bool) -> None:
    """Faust's own recovery lets them flow in any case."""
    flowing: list[bool] = []

    class Watched(PartitionRecovery):
        def _set_recovery_ended(self) -> None: ...

        async def _wait(self, waited: Any) -> None:
            await waited

        async def _let_messages_flow(self) -> None:
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


async def test_a_first_start_behind_deleted_records_is_said(caplog: pytest.LogCaptureFixture) -> None:
    consumer, beginnings = object.__new__(BatchConsumer), {0: 0, 1: 7}

    async def beginning(source: TopicPartition) -> int:
        return beginnings[source.partition]

    consumer._beginning = beginning  # type: ignore[method-assign]
    consumer.app = SimpleNamespace(ownership=SimpleNamespace(stored_up_to=lambda _partition: 0))

    assert [await consumer._first_offset(TopicPartition("transactions", one)) for one in beginnings] == [0, 7]

    (said,) = caplog.messages
    assert said.startswith("transactions partition 1 begins at offset 7: what was before is not scored")
