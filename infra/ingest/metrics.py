"""The counters of `txnwatch ingest`, for Prometheus."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest


class IngestCounts:
    """What became of records, and how far behind it is."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "txnwatch_ingest_records",
            "Foreign records by what became of them: mapped, left_out (by the mapping), tombstone, deleted "
            "(a row of the source's), refused_<reason> (a dead letter).",
            ["outcome"],
            registry=self.registry,
        )
        self._records.labels("mapped")
        self._transactions = Summary(
            "txnwatch_ingest_commit_seconds",
            "Time that a transaction took from its first batch to its commit.",
            registry=self.registry,
        )
        self._lag = Gauge(
            "txnwatch_ingest_lag_offsets",
            "What can be read of a foreign partition of ours and is not on the input topic.",
            ["topic", "partition"],
            registry=self.registry,
        )

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Add to the records by what became of them."""
        for outcome, number in outcomes.items():
            self._records.labels(outcome).inc(number)

    def transaction(self) -> AbstractContextManager[object]:
        """Take the time of a transaction's commit."""
        return self._transactions.time()

    def exposition(self, lags: Iterable[tuple[TopicPartition, int]] = ()) -> bytes:
        """All of it in Prometheus' text format."""
        self._lag.clear()
        for one, lag in lags:
            self._lag.labels(one.topic, one.partition).set(lag)
        return generate_latest(self.registry)
