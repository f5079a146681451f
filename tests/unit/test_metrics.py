"""What the three programs export, by Prometheus' conventions."""

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import Metrics
from infra.ingest.metrics import IngestCounts
from infra.runtime.retry import retried
from stream_app.metrics import WorkerMetrics
from tests.support.exposed import samples
from tests.support.promtool import promtool


def worker() -> bytes:
    metrics = WorkerMetrics()
    metrics.partitions.read = lambda: {3: {"commits": 1, "lag_offsets": 7}}
    return metrics.text()


PROGRAMS = {"worker": worker, "api": Metrics().text, "ingest": IngestCounts().text}


@pytest.mark.parametrize("program", PROGRAMS)
def test_promtool_finds_nothing_to_mend(program: str) -> None:
    assert promtool("check", "metrics", given=PROGRAMS[program]()) == ""


@pytest.mark.parametrize("text", PROGRAMS.values())
def test_each_program_says_what_it_is_and_what_its_process_uses(text: Callable[[], bytes]) -> None:
    names = {family.name for family in text_string_to_metric_families(text().decode())}

    assert {"txnwatch_build_info", "process_cpu_seconds", "process_open_fds", "python_info"} <= names
    assert not [name for name in names if name.endswith("_created")]


async def test_what_is_tried_again_is_shown_until_it_succeeds() -> None:
    shown = []

    async def attempt() -> None:
        shown.append(samples(Metrics().text().decode(), "txnwatch_retries_in_progress"))
        if len(shown) < 3:
            raise ConnectionError

    await retried(attempt, lambda _: True, what="a service")

    assert shown == [{}, {"a service": 1}, {"a service": 1}]
    assert samples(Metrics().text().decode(), "txnwatch_retries_in_progress") == {}


def test_a_foreign_record_that_is_refused_for_whatever_reason_is_counted() -> None:
    counts = IngestCounts()
    counts.count(3, {"mapped": 2, "refused_of_a_kind_to_come": 1})

    shown = counts.text().decode()
    assert 'txnwatch_ingest_records_total{outcome="refused_of_a_kind_to_come"} 1.0' in shown
    assert 'txnwatch_ingest_records_total{outcome="refused_envelope"} 0.0' in shown
    assert "txnwatch_ingest_consumed_records_total 3.0" in shown
