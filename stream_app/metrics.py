"""The worker's metrics, for Prometheus: GET /metrics beside Faust's own web views.

Each record of a finished batch has one outcome, so that outcomes add up to what was consumed. What is cut off
is not counted: it comes again, here or to the next owner.
"""

import logging
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, Summary, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.runtime.exposition import new_registry
from infra.runtime.health import dependency_gauge
from schemas.refusal import REASONS
from stream_app.batch import Batch, Lost
from stream_app.scoring import DetectorError, Ensemble, Scores

log = logging.getLogger(__name__)

STEPS = ("wait", "decode", "load", "score", "rows", "publish", "windows", "mirror", "acknowledge")
OUTCOMES = (
    *("scored", "revision", "duplicate", "replayed", "tombstone"),
    *(f"refused_{reason}" for reason in REASONS),
)
_BESIDE = {
    "consumed": ("consumed_records", "Records of finished batches: the sum of txnwatch_records_total."),
    "flagged": ("flagged_transactions", "Flagged transactions, which are among the scored."),
    "already_stored": ("already_stored_transactions", "Scored transactions whose rows Postgres had already."),
    "unknown_field": ("unknown_fields", "Fields of transactions that were left out, being unknown."),
    "window_dropped": ("dropped_windows", "Windows dropped of users with too many currencies."),
    "state_lost": ("lost_states", "States of detectors, damaged or of another version, that began afresh."),
}
_ASKED = {
    "mirror_waiting_users": "Users whose newest window is not in Redis yet.",
    "mirror_behind_seconds": "For how long the first window that is not in Redis yet has been waiting.",
    "in_flight_records": "Records of all partitions together that are being scored and stored.",
    "in_flight_bytes": "Bytes of the records that are being scored and stored.",
    "block_cache_bytes": "What RocksDB's block cache holds, of all partitions together.",
}
GAUGES = {
    "lag_offsets": "What can be read of the partition and is not finished.",
    "held_back_offsets": "What open transactions keep from being read of the partition.",
    "progress_timestamp_seconds": "When it last got on, had nothing to do, or waited for a service.",
    "next_offset": "The offset before which all of the partition is finished.",
    "decision": "The newest decision that the partition has applied.",
    "decisions_waiting": "Decisions that are here for the partition and do not hold yet.",
    "state_keys": "Entries of the partition's RocksDB as it estimates, most of them users.",
    "state_file_bytes": "The size of the partition's RocksDB files.",
    "state_memory_bytes": "What RocksDB has of the partition in memory, to be written to files.",
}
COUNTERS = {
    "commits": "Batches of the partition that were finished since its take-over.",
    "partition_records": "Records of the partition in batches that were finished since its take-over.",
    "decisions_applied": "Decisions that the partition has applied since its take-over.",
}
_FIGURES = Mapping[int, Mapping[str, float]]
_DONE = ("flagged", "watched", "allowed", "shadow", "failed")
_STEP_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_BATCH_RECORDS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
_TAKE_OVER_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000)


class ScoringCounts:
    """What comes of rules, and of detectors that only watch."""

    def __init__(self, registry: CollectorRegistry) -> None:
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

    def begin(self, ensemble: Ensemble) -> None:
        """Have what may be counted of these detectors and rules be there, at 0 until it is."""
        for detector in ensemble.watching:
            for outcome in ("flagged", "failed"):
                self._shadow.labels(detector.NAME, outcome)
        for rule in ensemble.rules.specs if ensemble.rules else ():
            for outcome in _DONE:
                self._rules.labels(rule.name, outcome)

    def observe(self, scores: Scores) -> None:
        """Count what came of a batch; the first failure of a detector is logged."""
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


class BatchCounts:
    """How large batches are, what became of them, and how long their steps took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        steps = Histogram(
            "txnwatch_step_seconds",
            "Time that a step of a batch took; before the first, it waits for its turn.",
            ["step"],
            registry=registry,
            buckets=_STEP_SECONDS,
        )
        self._steps = {step: steps.labels(step) for step in STEPS}
        self._sizes = Histogram(
            "txnwatch_batch_records", "Records of a batch.", registry=registry, buckets=_BATCH_RECORDS
        )
        batches = Counter(
            "txnwatch_batches",
            "Batches by their end: finished, given_up (with their partition), cut_off (by a rebalance).",
            ["outcome"],
            registry=registry,
        )
        self._ends = {end: batches.labels(end) for end in ("finished", "given_up", "cut_off")}

    def observe(self, batch: Batch, end: str) -> None:
        """Take note of a batch that has come to its end, however far it came."""
        self._ends[end].inc()
        self._sizes.observe(len(batch.records))
        for step, began, ended in batch.laps.done:
            self._steps[step].observe(ended - began)


class PartitionFigures(Collector):
    """Numbers of the partitions that are ours when they are asked for: of one that is lost they vanish."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.read: Callable[[], _FIGURES] = dict
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Each of the numbers, of all partitions."""
        figures = self.read()
        for name, text in {**GAUGES, **COUNTERS}.items():
            family = CounterMetricFamily if name in COUNTERS else GaugeMetricFamily
            metric = family(f"txnwatch_{name}", text, labels=["partition"])
            for partition, its in figures.items():
                if name in its:
                    metric.add_metric([str(partition)], its[name])
            yield metric


class WorkerMetrics:
    """All of them. Combinations of labels are there from the start, at 0: a rate needs what was before."""

    def __init__(self) -> None:
        self._registry = registry = new_registry()
        self.partitions = PartitionFigures(registry)
        self._outcomes = _outcomes(registry)
        self.scoring = ScoringCounts(registry)
        self.batches = BatchCounts(registry)
        self.dependency_up = dependency_gauge(registry)
        self.misplaced = Counter(
            "txnwatch_misplaced_users",
            "Users seen on a partition where TXNWATCH_PARTITIONER does not put them.",
            registry=registry,
        )
        self._asked = {
            name: Gauge(f"txnwatch_{name}", text, registry=registry) for name, text in _ASKED.items()
        }
        self.take_overs = Histogram(
            "txnwatch_take_over_seconds",
            "Time that taking a partition over took.",
            registry=registry,
            buckets=_TAKE_OVER_SECONDS,
        )
        self._given_up = Counter(
            "txnwatch_given_up_partitions",
            "Partitions given up to be taken over again: fenced_by_postgres and fenced_by_kafka (another "
            "worker has them), unknown_commit (Kafka did not say), damaged_windows.",
            ["reason"],
            registry=registry,
        )
        for reason in Lost:
            self._given_up.labels(reason)

    def ask(self, name: str, answer: Callable[[], float]) -> None:
        """Have a number of the whole process asked for here."""
        self._asked[name].set_function(answer)

    def count(self, outcomes: Mapping[str, int]) -> None:
        """Add what became of a batch's records."""
        for outcome, number in outcomes.items():
            if number:
                self._outcomes[outcome].inc(number)

    def give_up(self, reason: Lost) -> None:
        """Count a partition that is given up."""
        self._given_up.labels(reason).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


def _outcomes(registry: CollectorRegistry) -> dict[str, Counter]:
    """A counter for each name in what is counted of a batch."""
    records = Counter(
        "txnwatch_records",
        "Records by what became of them: scored, revision (of a scored one), duplicate, replayed (finished "
        "before), tombstone, refused_<reason>.",
        ["outcome"],
        registry=registry,
    )
    counters = {outcome: records.labels(outcome) for outcome in OUTCOMES}
    for outcome, (name, text) in _BESIDE.items():
        counters[outcome] = Counter(f"txnwatch_{name}", text, registry=registry)
    return counters
