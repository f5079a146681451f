"""The API's metrics."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import prometheus_client as prometheus

from infra.runtime.exposition import new_registry
from infra.runtime.health import dependency_gauge

_CLASSES = ("2xx", "3xx", "4xx", "5xx")
_ASKED = {
    "verdict_waiters": "Requests that wait for verdicts.",
    "database_connections": "Connections to Postgres that are open.",
    "database_connections_in_use": "Connections to Postgres that a query has; the others are free.",
}


class Metrics:
    """Counters and gauges, and their text for Prometheus."""

    def __init__(self) -> None:
        self._registry = new_registry()
        counter = partial(prometheus.Counter, registry=self._registry)
        gauge = partial(prometheus.Gauge, registry=self._registry)
        histogram = partial(prometheus.Histogram, registry=self._registry)
        # Looking the labels up costs 2.5 µs each time, and a request is counted six times.
        self._requests = cache(
            counter("txnwatch_api_requests", "Answers.", ["route", "method", "status"]).labels
        )
        answers = counter("txnwatch_api_answers", "Answers by the class of their status.", ["class"])
        self._answers = cache(answers.labels)
        self.in_progress = gauge("txnwatch_api_requests_in_progress", "Requests that are being answered.")
        self._seconds = cache(
            histogram("txnwatch_api_request_seconds", "Time to answer, streams left out.", ["route"]).labels
        )
        self._cache = counter("txnwatch_api_query_cache", "Queries by what the cache had.", ["outcome"])
        self.dependency_up = dependency_gauge(self._registry)
        self.clients = gauge("txnwatch_api_sse_clients", "Open event streams.", ["topic"])
        self.events = counter("txnwatch_api_sse_events", "Live events sent to clients.", ["topic"])
        self.cut_off = counter("txnwatch_api_sse_cut_off", "Clients cut off because they did not read.")
        self._turned_away = counter(
            "txnwatch_api_sse_turned_away",
            "Clients that got no stream: full (no place), unavailable (without Kafka).",
            ["reason"],
        )
        posted = counter(
            "txnwatch_api_posted_transactions",
            "Posted transactions by what became of them: accepted, known (there already), refused, failed "
            "(Kafka has not taken them).",
            ["outcome"],
        )
        self._posted = cache(posted.labels)
        self.verdict_seconds = histogram(
            "txnwatch_api_verdict_seconds", "From a request that waits for verdicts to the last of them."
        )
        self._asked = [gauge(f"txnwatch_api_{name}", text) for name, text in _ASKED.items()]
        self._ask: Callable[[], Sequence[int]] = lambda: (0,) * len(_ASKED)
        self._begin_at_0()

    def _begin_at_0(self) -> None:
        """A rate needs what was before the first."""
        for outcome in ("accepted", "known", "refused", "failed"):
            self._posted(outcome)
        for outcome in ("hit", "miss", "down"):
            self._cache.labels(outcome)
        for reason in ("full", "unavailable"):
            self._turned_away.labels(reason)
        for one in _CLASSES:
            self._answers(one)

    def ask(self, answer: Callable[[], Sequence[int]]) -> None:
        """Have how many requests wait, connections are open, and of these are in use, asked for here."""
        self._ask = answer

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        for gauge, number in zip(self._asked, self._ask(), strict=True):
            gauge.set(number)
        return prometheus.generate_latest(self._registry)

    def count_request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count one answered request; `seconds` is None for streams, which last as long as their clients."""
        self._requests(route, method, status).inc()
        self._answers(f"{status // 100}xx").inc()
        if seconds is not None:
            self._seconds(route).observe(seconds)

    def count_posted(self, **outcomes: int) -> None:
        """Count posted transactions by what became of them."""
        for outcome, count in outcomes.items():
            if count:
                self._posted(outcome).inc(count)

    def turn_away(self, reason: str) -> None:
        """Count a client that gets no stream: full or unavailable."""
        self._turned_away.labels(reason).inc()

    def count_cached(self, outcome: str) -> None:
        """Count one query by what the cache had: hit, miss or down."""
        self._cache.labels(outcome).inc()
