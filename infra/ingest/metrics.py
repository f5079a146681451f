"""The metrics of `txnwatch ingest`, for Prometheus."""

from collections.abc import Iterable, Mapping
from functools import partial

import prometheus_client as prometheus
from aiokafka import TopicPartition

from infra.runtime.exposition import new_registry
from infra.runtime.health import dependency_gauge
from schemas.refusal import REASONS

# What the decoder refuses, and what comes before it.
_REFUSALS = (*REASONS, "schema", "avro", "protobuf", "envelope", "mapping")
_OUTCOMES = ("mapped", "left_out", "tombstone", "deleted", *(f"refused_{one}" for one in _REFUSALS))
_COMMIT_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_BATCH_RECORDS = (1, 10, 100, 1_000, 10_000, 30_000)
_LAGS = {
    "lag_offsets": "What can be read of a foreign partition of ours and is not fetched yet.",
    "held_back_offsets": "What an open transaction keeps from being read of it.",
    "held_records": "What is fetched of it and waits for what may come with timestamps before its own.",
    "group_lag_offsets": "How far the group is behind: what can be read of it and is not committed yet.",
}


class IngestCounts:
    """What became of records, and how far behind it is. Outcomes add up to what was consumed."""

    def __init__(self) -> None:
        self._registry = new_registry()
        counter = partial(prometheus.Counter, registry=self._registry)
        histogram = partial(prometheus.Histogram, registry=self._registry)
        gauge = partial(prometheus.Gauge, labelnames=["topic", "partition"], registry=self._registry)
        self._records = counter(
            "txnwatch_ingest_records",
            "Foreign records by what became of them: mapped, left_out (by the mapping), tombstone, deleted "
            "(a row of the source's), refused_<reason> (a dead letter).",
            ["outcome"],
        )
        for outcome in _OUTCOMES:
            self._records.labels(outcome)
        self._consumed = counter(
            "txnwatch_ingest_consumed_records",
            "Foreign records that were committed: the sum of txnwatch_ingest_records_total.",
        )
        self.commit_seconds = histogram(
            "txnwatch_ingest_commit_seconds",
            "Time that a transaction took from its first batch to its commit.",
            buckets=_COMMIT_SECONDS,
        )
        self._sizes = histogram(
            "txnwatch_ingest_transaction_records", "Records of a transaction.", buckets=_BATCH_RECORDS
        )
        self.take_overs = counter(
            "txnwatch_ingest_take_overs", "How often it began with the partitions that a rebalance brought."
        )
        self.restarts = counter(
            "txnwatch_ingest_restarts", "How often it began again from the last commit, after an error."
        )
        self.dependency_up = dependency_gauge(self._registry)
        self.progress = prometheus.Gauge(
            "txnwatch_ingest_progress_timestamp_seconds",
            "When it last read or committed something, had nothing to do, or waited for a service.",
            registry=self._registry,
        )
        self._lags = [gauge(f"txnwatch_ingest_{name}", text) for name, text in _LAGS.items()]

    def count(self, consumed: int, outcomes: Mapping[str, int]) -> None:
        """Add what became of a transaction's records."""
        self._consumed.inc(consumed)
        self._sizes.observe(consumed)
        for outcome, number in outcomes.items():
            self._records.labels(outcome).inc(number)

    def text(self, lags: Iterable[tuple[TopicPartition, int, int, int, int]] = ()) -> bytes:
        """All of it in Prometheus' text format."""
        for gauge in self._lags:
            gauge.clear()
        for one, *each in lags:
            for gauge, value in zip(self._lags, each, strict=True):
                gauge.labels(one.topic, one.partition).set(value)
        return prometheus.generate_latest(self._registry)
