"""The worker's counters, for Prometheus: GET /metrics/prometheus beside Faust's own web views."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


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
        self._mirror_waiting = Gauge(
            "txnwatch_mirror_waiting_users",
            "Users whose newest window is not in Redis yet.",
            registry=self.registry,
        )
        self.misplaced = Counter(
            "txnwatch_misplaced_users",
            "Users seen on a partition where TXNWATCH_PARTITIONER does not put them.",
            registry=self.registry,
        )

    def show_waiting(self, waiting: Callable[[], int]) -> None:
        """Have the number of users whose window waits for Redis asked for here."""
        self._mirror_waiting.set_function(waiting)

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Add to the counts by outcome."""
        for outcome, number in outcomes.items():
            if number:
                self._records.labels(outcome).inc(number)

    def exposition(self) -> bytes:
        """The counters in Prometheus' text format."""
        return generate_latest(self.registry)
