"""The worker's counters, for Prometheus: GET /metrics/prometheus beside Faust's own web views."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from schemas.refusal import REASONS


class RecordCounts:
    """Counts of records by what became of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "txnwatch_records",
            "Records by what became of them: scored, flagged (those among the scored), revision, duplicate, "
            "replayed, already_stored, tombstone, refused_<reason>; unknown_field counts fields left out, "
            "window_dropped windows of users with too many currencies.",
            ["outcome"],
            registry=self.registry,
        )
        for reason in REASONS:  # at 0 until it happens: a rate needs a value before the first
            self._records.labels(f"refused_{reason}")
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

        self._lag = Gauge(
            "txnwatch_lag_offsets",
            "What can be read of a partition of ours and is not finished.",
            ["partition"],
            registry=self.registry,
        )
        self._held_back = Gauge(
            "txnwatch_held_back_offsets",
            "What an open transaction keeps from being read of a partition of ours.",
            ["partition"],
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

    def exposition(self, lags: Iterable[tuple[int, int, int]] = ()) -> bytes:
        """All of it in Prometheus' text format; `lags` has each partition, its lag, and what is held back."""
        for gauge in (self._lag, self._held_back):
            gauge.clear()
        for partition, behind, held_back in lags:
            self._lag.labels(partition).set(behind)
            self._held_back.labels(partition).set(held_back)
        return generate_latest(self.registry)
