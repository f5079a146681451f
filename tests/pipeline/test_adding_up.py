"""The worker's metrics add up, and are as Prometheus' conventions have them."""

from dataclasses import replace
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from schemas.refusal import REASONS
from stream_app.batch import Batch
from stream_app.metrics import OUTCOMES, STEPS, PartitionFigures, WorkerMetrics
from tests.support.exposed import samples
from tests.support.fakes import FakeRecord, World
from tests.support.messages import REFUSED
from tests.support.traffic import revised, traffic


def numbers(metrics: WorkerMetrics, name: str) -> dict[str, float]:
    return samples(metrics.text().decode(), name)


def records_of_every_kind() -> list[FakeRecord]:
    """Good ones, revised and sent twice, refused ones of every reason, and a tombstone."""
    good = revised(traffic(300, users=8))
    kinds = [*((sent.key, sent.value) for sent in good), *REFUSED.values(), (good[0].key, None)]
    return [FakeRecord(offset, key, value) for offset, (key, value) in enumerate(kinds)]


async def test_what_became_of_records_adds_up_to_what_was_consumed_also_after_crashes() -> None:
    world, records, metrics = World(), records_of_every_kind(), WorkerMetrics()

    for step in ("kafka", "windows", "mirror", "load"):
        await world.crash(records, step, 40)
    pipeline = replace(world.owner(), count=metrics.count)
    at = world.kafka.group_offset
    world.rows.next_offset += 10  # Postgres is ahead by some
    await pipeline.process(Batch(0, records[at - 20 :]))  # and Kafka by others

    became = numbers(metrics, "txnwatch_records_total")
    assert became.keys() == {*OUTCOMES}
    assert sum(became.values()) == len(records) - at + 20
    assert numbers(metrics, "txnwatch_consumed_records_total") == {"": sum(became.values())}
    assert {name: became[name] for name in OUTCOMES if not became[name]} == {}
    assert [became[f"refused_{reason}"] for reason in REASONS] == [1] * len(REASONS)
    assert 0 < numbers(metrics, "txnwatch_already_stored_transactions_total")[""] <= 10
    assert 0 < numbers(metrics, "txnwatch_flagged_transactions_total")[""] < became["scored"]


async def test_each_step_of_a_batch_is_timed() -> None:
    world, metrics = World(), WorkerMetrics()
    whole, cut_off = (Batch(0, records_of_every_kind()) for _ in range(2))
    await world.owner().process(whole)
    whole.laps.end("acknowledge")
    metrics.batches.observe(whole, "finished")
    metrics.batches.observe(cut_off, "cut_off")

    assert [lap.step for lap in whole.laps.done] == [*STEPS]
    assert all(one.ended == following.began for one, following in pairwise(whole.laps.done))
    assert numbers(metrics, "txnwatch_step_seconds_count") == dict.fromkeys(STEPS, 1)
    assert numbers(metrics, "txnwatch_batch_records_count") == {"": 2}
    assert numbers(metrics, "txnwatch_batches_total") == {"finished": 1, "given_up": 0, "cut_off": 1}


def test_series_of_a_partition_vanish_with_it() -> None:
    registry = CollectorRegistry()
    figures = PartitionFigures(registry)
    shown = {3: {"lag_offsets": 7.0, "commits": 0.0}, 5: {"commits": 2.0}}
    figures.read = lambda: shown

    assert registry.get_sample_value("txnwatch_lag_offsets", {"partition": "3"}) == 7
    assert registry.get_sample_value("txnwatch_lag_offsets", {"partition": "5"}) is None  # not known yet
    assert registry.get_sample_value("txnwatch_commits_total", {"partition": "5"}) == 2
    del shown[5]
    assert registry.get_sample_value("txnwatch_commits_total", {"partition": "5"}) is None
    assert registry.get_sample_value("txnwatch_commits_total", {"partition": "3"}) == 0


@pytest.mark.parametrize("name", ["txnwatch_records", "txnwatch_given_up_partitions", "txnwatch_batches"])
def test_combinations_of_labels_are_there_from_the_start(name: str) -> None:
    assert {*numbers(WorkerMetrics(), f"{name}_total").values()} == {0}
