"""The worker's counters, for Prometheus: GET /metrics/prometheus beside Faust's own web views."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, generate_latest


class RecordCounts:
    """Counts of records by what became of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "txnwatch_records",
            "Records by what became of them: scored, flagged (those among the scored), duplicate, replayed, "
            "already_stored, tombstone, refused_<reason>; unknown_field counts fields left out.",
            ["outcome"],
            registry=self.registry,
        )

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Add to the counts by outcome."""
        for outcome, number in outcomes.items():
            if number:
                self._records.labels(outcome).inc(number)

    def exposition(self) -> bytes:
        """The counters in Prometheus' text format."""
        return generate_latest(self.registry)
