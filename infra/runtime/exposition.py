"""What the metrics of every program have in common."""

from importlib.metadata import version

import prometheus_client as prometheus

CONTENT_TYPE = prometheus.CONTENT_TYPE_PLAIN_0_0_4


def new_registry() -> prometheus.CollectorRegistry:
    """A registry of its own, as two programs in one process share no numbers; it has the process' already."""
    # `x_created` doubles the series of every counter, and Prometheus asks for them in another format.
    prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = prometheus.CollectorRegistry()
    for collector in (prometheus.ProcessCollector, prometheus.PlatformCollector, prometheus.GCCollector):
        collector(registry=registry)
    build = prometheus.Info("txnwatch_build", "Which txnwatch runs.", registry=registry)
    build.info({"version": version("txnwatch")})
    return registry


def exposition(registry: prometheus.CollectorRegistry) -> bytes:
    """All of it in Prometheus' text format."""
    return prometheus.generate_latest(registry)
