"""What probes are told of a worker: what it depends on, and how far its partitions are."""

from functools import partial
from typing import Any

from faust.web import Request, Response, View

from infra.runtime import health
from infra.runtime.health import Dependencies, Headway, ServiceCheck, Vitals


def vitals_of(app: Any) -> Vitals:
    """Those of the Faust app. Redis is a copy for reading: without it a worker is ready."""
    settings, needed = app.settings, {"kafka", "postgres"}
    asked = {
        "kafka": partial(health.kafka_answers, settings),
        "postgres": partial(health.postgres_answers, settings.postgres),
        "redis": partial(health.redis_answers, settings.redis),
    }
    used = {one: ServiceCheck(asked[one]) for one in asked if one == "kafka" or settings.has_sink(one)}
    dependencies = Dependencies(used, needed, health.ANSWER_SECONDS, app.metrics.dependency_up)

    def work() -> health.Works:
        if not app.consumer.can_resume_flow.is_set():
            return {"taking partitions over": (app.rebalancing_count + app.windows.restored, 1)}
        return {
            one.partition: (one.readable - one.behind, one.behind) for one in app.consumer.partition_lags()
        }

    def hindered() -> str:
        if app.is_starting or app.is_stopping:
            return "Stopping." if app.is_stopping else "Starting."
        return "" if app.consumer.can_resume_flow.is_set() else "Taking partitions over."

    return Vitals(dependencies, Headway(settings.progress_seconds), app.metrics.text, work, hindered)


def add_probes(app: Any) -> None:
    """Add what answers probes to the app's web views."""

    async def probe(view: View, request: Request, **_kwargs: Any) -> Response:
        status, body, media = app.vitals.answers[request.path.removesuffix("/prometheus")]()
        return view.bytes(body, status=status, headers={"Content-Type": media})

    for path in (*app.vitals.answers, "/metrics/prometheus"):
        app.page(path, name=path)(probe)
