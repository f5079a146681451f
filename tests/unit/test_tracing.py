"""A batch that has come to its end is a trace of its steps."""

import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from infra.runtime.cli_errors import StopError
from infra.runtime.laps import Laps
from infra.runtime.tracing import Traces, tracing


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exported: InMemorySpanExporter) -> Traces:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return Traces(provider.get_tracer("tests"))


def laps_of(*steps: str) -> Laps:
    laps = Laps()
    for step in steps:
        laps.end(step)
    return laps


def test_its_steps_are_spans_within_that_of_the_batch_one_after_the_other(
    traces: Traces, exported: InMemorySpanExporter
) -> None:
    traces.add("process transactions", laps_of("decode", "load", "score"), {"partition": 3})

    *steps, batch = exported.get_finished_spans()
    assert (batch.name, batch.attributes, batch.parent) == ("process transactions", {"partition": 3}, None)
    assert [one.name for one in steps] == ["decode", "load", "score"]
    assert {one.parent and one.parent.span_id for one in steps} == {batch.context and batch.context.span_id}
    assert [one.end_time for one in steps[:-1]] == [one.start_time for one in steps[1:]]
    assert (batch.start_time, batch.end_time) == (steps[0].start_time, steps[-1].end_time)
    assert batch.status.status_code is StatusCode.UNSET


def test_one_that_was_cut_off_says_so_and_ends_where_it_came_to(
    traces: Traces, exported: InMemorySpanExporter
) -> None:
    traces.add("process transactions", laps_of("decode"), {}, "cut_off")
    traces.add("process transactions", Laps(), {}, "cut_off")  # it was never begun

    step, batch = exported.get_finished_spans()
    assert (batch.status.status_code, batch.status.description) == (StatusCode.ERROR, "cut_off")
    assert batch.end_time == step.end_time


async def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(StopError, match=r"pip install 'txnwatch\[otel\]'"):
        async with tracing("http://localhost:1/v1/traces", "tests"):
            pass
