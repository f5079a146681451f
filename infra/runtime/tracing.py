"""Traces by OpenTelemetry, which is imported where they are asked for: the extra `otel` brings it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from infra.runtime.cli_errors import StopError
from infra.runtime.laps import Laps

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_EXPORT_SECONDS = 5


class Traces:
    """Makes a trace of the laps of some work once it has come to its end."""

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    def add(self, name: str, laps: Laps, attributes: Mapping[str, str | int], error: str = "") -> None:
        """A span of this name, and one within it for each lap; nothing where there is no lap."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context  # noqa: PLC0415 - an extra

        if not laps.done:
            return
        zero = time.time_ns() - int(time.perf_counter() * 1e9)  # of the laps' clock
        times = [(lap.step, zero + int(lap.began * 1e9), zero + int(lap.ended * 1e9)) for lap in laps.done]
        span = self._tracer.start_span(
            name, kind=SpanKind.CONSUMER, attributes=attributes, start_time=times[0][1]
        )
        context = set_span_in_context(span)
        for step, began, ended in times:
            self._tracer.start_span(step, context, start_time=began).end(ended)
        if error:
            span.set_status(StatusCode.ERROR, error)
        span.end(times[-1][2])


@asynccontextmanager
async def tracing(url: str, service: str) -> AsyncIterator[Traces]:
    """Traces of this service, sent by OTLP over HTTP in the background while the block runs.

    What the SDK reads from variables of its own (`OTEL_…`: headers, sampling, attributes) holds.

    Raises:
        StopError: The extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise StopError("TXNWATCH_TRACES_URL needs OpenTelemetry: pip install 'txnwatch[otel]'") from None
    named = {"service.name": service, "service.version": version("txnwatch")}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield Traces(provider.get_tracer("txnwatch"))
    finally:
        await asyncio.to_thread(provider.shutdown)
