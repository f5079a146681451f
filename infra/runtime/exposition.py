"""What the metrics of every program have in common."""

from collections.abc import Iterator
from importlib.metadata import version

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.runtime.retry import retries_in_progress

CONTENT_TYPE = prometheus.CONTENT_TYPE_PLAIN_0_0_4


class Retries(Collector):
    """What is tried again in this process now."""

    def collect(self) -> Iterator[prometheus.Metric]:
        """How much, by what it needs; nothing once it has succeeded."""
        text = "Calls that have failed and are tried again now, by what they need."
        metric = GaugeMetricFamily("txnwatch_retries_in_progress", text, labels=["dependency"])
        for dependency, number in retries_in_progress().items():
            metric.add_metric([dependency], number)
        yield metric


def new_registry() -> prometheus.CollectorRegistry:
    """A registry of its own, as two programs in one process share no numbers; it has the process' already."""
    # `x_created` doubles the series of every counter, and Prometheus asks for them in another format.
    prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = prometheus.CollectorRegistry()
    for collector in (prometheus.ProcessCollector, prometheus.PlatformCollector, prometheus.GCCollector):
        collector(registry=registry)
    registry.register(Retries())
    build = prometheus.Info("txnwatch_build", "Which txnwatch runs.", registry=registry)
    build.info({"version": version("txnwatch")})
    return registry
