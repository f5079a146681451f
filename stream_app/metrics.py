"""The worker's counters, for Prometheus: GET /metrics/prometheus beside Faust's own web views."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest

from schemas.refusal import REASONS
from stream_app.scoring import DetectorError, Scores

log = logging.getLogger(__name__)

_LAGS = {
    "txnwatch_lag_offsets": "What can be read of a partition of ours and is not finished.",
    "txnwatch_held_back_offsets": "What an open transaction keeps from being read of a partition of ours.",
}
_DECIDED = {
    "txnwatch_decision": "The newest decision that a partition of ours has applied.",
    "txnwatch_decisions_waiting": "Decisions that are here for a partition of ours and do not hold yet.",
}


class ScoringCounts:
    """What scoring takes, and what comes of detectors that only watch."""

    def __init__(self, registry: CollectorRegistry, watching: Iterable[str]) -> None:
        self._seconds = Counter("txnwatch_scoring_seconds", "Time that scoring took.", registry=registry)
        self._shadow = Counter(
            "txnwatch_shadow",
            "Transactions that a detector that only watches would have flagged, or failed on.",
            ["detector", "outcome"],
            registry=registry,
        )
        self._detector = Summary(
            "txnwatch_detector_seconds",
            "Time that a detector took to score and learn from one transaction: of each batch the last.",
            ["detector"],
            registry=registry,
        )
        self._rules = Counter(
            "txnwatch_rules",
            "How often each rule flagged, watched, allowed, would have (shadow), or failed.",
            ["rule", "outcome"],
            registry=registry,
        )
        self._failed: set[str] = set()
        for detector in watching:
            self._count(detector, "flagged", 0)
            self._count(detector, "failed", 0)

    def observe(self, scores: Scores, seconds: float) -> None:
        """Count what came of a batch; the first failure of a detector is logged."""
        self._seconds.inc(seconds)
        for detector, number in scores.shadow_flags.items():
            self._count(detector, "flagged", number)
        for detector, its in scores.seconds.items():
            self._detector.labels(detector).observe(its)
        for told, number in scores.rules.items():
            self._rules.labels(*told).inc(number)
        for failure in scores.failures:
            self._fail(failure)

    def _count(self, detector: str, outcome: str, number: int) -> None:
        self._shadow.labels(detector, outcome).inc(number)

    def _fail(self, failure: DetectorError) -> None:
        self._count(failure.detector, "failed", 1)
        if failure.detector not in self._failed:
            self._failed.add(failure.detector)
            log.warning("%s; as it only watches, scoring goes on without it (said once)", failure)


class RecordCounts:
    """Counts of records by what became of them."""

    def __init__(self, watching: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter(
            "txnwatch_records",
            "Records by what became of them: scored, flagged (those among the scored), revision, duplicate, "
            "replayed, already_stored, tombstone, refused_<reason>; unknown_field counts fields left out, "
            "window_dropped windows of users with too many currencies, state_lost states of detectors that "
            "could not be read, being damaged or of another version, and began afresh.",
            ["outcome"],
            registry=self.registry,
        )
        for reason in REASONS:  # at 0 until it happens: a rate needs a value before the first
            self._records.labels(f"refused_{reason}")
        self._records.labels("state_lost")
        self.scoring = ScoringCounts(self.registry, watching)
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
        self._lags = self._by_partition(_LAGS)
        self._decided = self._by_partition(_DECIDED)

    def _by_partition(self, texts: Mapping[str, str]) -> list[Gauge]:
        return [Gauge(name, text, ["partition"], registry=self.registry) for name, text in texts.items()]

    def show_waiting(self, waiting: Callable[[], int]) -> None:
        """Have the number of users whose window waits for Redis asked for here."""
        self._mirror_waiting.set_function(waiting)

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Add to the counts by outcome."""
        for outcome, number in outcomes.items():
            if number:
                self._records.labels(outcome).inc(number)

    def exposition(
        self, lags: Iterable[tuple[int, int, int]] = (), decided: Iterable[tuple[int, int, int]] = ()
    ) -> bytes:
        """All of it in Prometheus' text format.

        `lags` has each partition, its lag, and what is held back; `decided` each partition, the newest
        decision there, and how many wait.
        """
        _set(self._lags, lags)
        _set(self._decided, decided)
        return generate_latest(self.registry)


def _set(gauges: Sequence[Gauge], values: Iterable[tuple[int, int, int]]) -> None:
    """Have gauges show these values by partition, and nothing else."""
    for gauge in gauges:
        gauge.clear()
    for partition, *each in values:
        for gauge, value in zip(gauges, each, strict=True):
            gauge.labels(partition).set(value)
