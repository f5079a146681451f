"""The API's metrics, in a registry of their own: two apps in one process do not share numbers."""

from functools import partial

import prometheus_client as prometheus

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST


class Metrics:
    """Counters and gauges, and their text for Prometheus."""

    def __init__(self) -> None:
        self._registry = prometheus.CollectorRegistry()
        for collector in (prometheus.ProcessCollector, prometheus.PlatformCollector, prometheus.GCCollector):
            collector(registry=self._registry)
        counter = partial(prometheus.Counter, registry=self._registry)
        gauge = partial(prometheus.Gauge, registry=self._registry)
        histogram = partial(prometheus.Histogram, registry=self._registry)
        self._requests = counter("txnwatch_api_requests", "Answers.", ["route", "method", "status"])
        self._seconds = histogram(
            "txnwatch_api_request_seconds", "Time to answer, streams left out.", ["route"]
        )
        self._cache = counter("txnwatch_api_query_cache", "Queries by what the cache had.", ["outcome"])
        self.clients = gauge("txnwatch_api_sse_clients", "Open event streams.", ["topic"])
        self.events = counter("txnwatch_api_sse_events", "Live events sent to clients.", ["topic"])
        self.cut_off = counter("txnwatch_api_sse_cut_off", "Clients cut off because they did not read.")
        self.turned_away = counter("txnwatch_api_sse_turned_away", "Clients without a place, or Kafka.")
        self._posted = counter(
            "txnwatch_api_posted_transactions", "Posted transactions by what became of them.", ["outcome"]
        )
        self.verdict_seconds = histogram(
            "txnwatch_api_verdict_seconds", "From a request that waits for verdicts to the last of them."
        )
        for outcome in ("accepted", "known", "refused"):
            self._posted.labels(outcome)
        for outcome in ("hit", "miss", "down"):
            self._cache.labels(outcome)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return prometheus.generate_latest(self._registry)

    def count_request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count one answered request; `seconds` is None for streams, which last as long as their clients."""
        self._requests.labels(route, method, status).inc()
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def count_posted(self, **outcomes: int) -> None:
        """Count posted transactions that Kafka took, that were there already, or that were refused."""
        for outcome, count in outcomes.items():
            self._posted.labels(outcome).inc(count)

    def count_cached(self, outcome: str) -> None:
        """Count one query by what the cache had: hit, miss or down."""
        self._cache.labels(outcome).inc()
