"""How the process is, over HTTP: alive, ready, and its metrics."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from infra.ingest.metrics import IngestCounts
from infra.ingest.registry import Registry
from infra.ingest.running import Ingest
from infra.ingest.settings import Settings
from infra.runtime.health import (
    ANSWER_SECONDS,
    Checks,
    Dependencies,
    Headway,
    ServiceCheck,
    Vitals,
    kafka_answers,
)


@asynccontextmanager
async def seen(
    settings: Settings, ingest: Ingest, counts: IngestCounts, registry: Registry, wait: float
) -> AsyncIterator[None]:
    """Say how it is while the block runs; `wait` is how long it may hold records back, in seconds."""
    kafka, headway = ServiceCheck(partial(kafka_answers, settings)), Headway(settings.progress_seconds + wait)
    checks: Checks = {"kafka": kafka}
    if settings.schema_registry_url.get_secret_value():
        checks = {**checks, "schema registry": partial(_check, registry)}
    dependencies = Dependencies(checks, checks, ANSWER_SECONDS, counts.dependency_up)
    counts.progress.set_function(lambda: min(headway.moved_at.values(), default=0.0))
    metrics = lambda: counts.text(ingest.lags())  # noqa: E731
    vitals = Vitals(dependencies, headway, metrics, ingest.work, ingest.hindered)
    place = settings.ingest_host, settings.ingest_port, "TXNWATCH_INGEST_PORT"
    async with vitals.watched(settings), vitals.answering(*place):
        yield


async def _check(registry: Registry) -> None:
    if registry.waiting_since and time.monotonic() - registry.waiting_since > ANSWER_SECONDS:
        raise TimeoutError
