"""A dashboard for Grafana, of a worker's, the API's and ingest's metrics."""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT = 24, 8
_OF = '{job=~"$job"}'


class Panel(NamedTuple):
    """A chart: what it asks for, each with the legend of its lines."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    width: int = 8
    stacked: bool = False


def _rate(name: str, by: str = "", matching: str = "", *, of: str = "rate") -> str:
    grouped = f"sum by ({by}) " if by else "sum "
    return f"{grouped}({of}({name}{{{matching}}}[$__rate_interval]))"


def _rates(title: str, unit: str, name: str, by: str, *, stacked: bool = False) -> Panel:
    return Panel(title, unit, [(_rate(name, by), f"{{{{{by}}}}}")], stacked=stacked)


def _quantile(quantile: float, name: str, by: str = "le") -> str:
    return f"histogram_quantile({quantile}, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"


def _spread(title: str, unit: str, name: str) -> Panel:
    return Panel(title, unit, [(_quantile(share, name), f"{share:.0%}") for share in (0.5, 0.99)])


ROWS: dict[str, Sequence[Panel]] = {
    "Transactions": (
        _rates("What becomes of records", "ops", "txnwatch_records_total", "outcome", stacked=True),
        Panel(
            "Flagged, and refused",
            "ops",
            [
                (_rate("txnwatch_flagged_transactions_total"), "flagged"),
                (_rate("txnwatch_records_total", "outcome", 'outcome=~"refused_.*"'), "{{outcome}}"),
            ],
        ),
        Panel(
            "Lag",
            "short",
            [
                ("sum by (partition) (txnwatch_lag_offsets)", "partition {{partition}}"),
                ("sum by (partition) (txnwatch_held_back_offsets) > 0", "held back, {{partition}}"),
            ],
        ),
    ),
    "Batches": (
        _rates("Time by step", "percentunit", "txnwatch_step_seconds_sum", "step", stacked=True),
        Panel("Step, 99%", "s", [(_quantile(0.99, "txnwatch_step_seconds", "le, step"), "{{step}}")]),
        _spread("Records of a batch", "short", "txnwatch_batch_records"),
        _rates("Batches", "ops", "txnwatch_batches_total", "outcome"),
        _rates("Records by partition", "ops", "txnwatch_partition_records_total", "partition"),
        Panel("In flight", "short", [("sum by (instance) (txnwatch_in_flight_records)", "{{instance}}")]),
    ),
    "Partitions and state": (
        Panel(
            "Partitions taken over, given up",
            "short",
            [
                (_rate("txnwatch_take_over_seconds_count", of="increase"), "taken over"),
                (_rate("txnwatch_given_up_partitions_total", "reason", of="increase"), "{{reason}}"),
            ],
        ),
        Panel("Users", "short", [("sum (txnwatch_state_keys)", "entries of RocksDB")]),
        Panel(
            "Size of the state",
            "bytes",
            [
                ("sum by (instance) (txnwatch_state_file_bytes)", "files, {{instance}}"),
                ("sum by (instance) (txnwatch_state_memory_bytes)", "to be written, {{instance}}"),
                ("sum by (instance) (txnwatch_block_cache_bytes)", "cache, {{instance}}"),
            ],
        ),
        Panel(
            "Decisions",
            "short",
            [
                ("max (txnwatch_decision)", "newest"),
                ("min (txnwatch_decision)", "oldest of a partition"),
                ("sum (txnwatch_decisions_waiting)", "waiting"),
            ],
        ),
        Panel("Rules", "ops", [(_rate("txnwatch_rules_total", "rule, outcome"), "{{rule}} {{outcome}}")]),
        Panel("Redis behind", "s", [("max by (instance) (txnwatch_mirror_behind_seconds)", "{{instance}}")]),
    ),
    "API": (
        _rates("Answers", "reqps", "txnwatch_api_answers_total", "class", stacked=True),
        _spread("Time to answer", "s", "txnwatch_api_request_seconds"),
        _rates("By route", "reqps", "txnwatch_api_requests_total", "route"),
        Panel(
            "Waiting and listening",
            "short",
            [
                ("sum (txnwatch_api_requests_in_progress)", "requests"),
                ("sum (txnwatch_api_verdict_waiters)", "wait for verdicts"),
                ("sum by (topic) (txnwatch_api_sse_clients)", "listen to {{topic}}"),
            ],
        ),
        Panel(
            "Connections to Postgres",
            "short",
            [
                ("sum (txnwatch_api_database_connections_in_use)", "in use"),
                ("sum (txnwatch_api_database_connections)", "open"),
            ],
        ),
        _rates("Posted", "ops", "txnwatch_api_posted_transactions_total", "outcome"),
    ),
    "Ingest": (
        _rates("Foreign records", "ops", "txnwatch_ingest_records_total", "outcome", stacked=True),
        Panel("Lag", "short", [("sum by (topic) (txnwatch_ingest_group_lag_offsets)", "{{topic}}")]),
        _spread("Time to commit", "s", "txnwatch_ingest_commit_seconds"),
    ),
    "Processes": (
        Panel(
            "CPU",
            "percentunit",
            [(f"rate(process_cpu_seconds_total{_OF}[$__rate_interval])", "{{instance}}")],
        ),
        Panel("Memory", "bytes", [(f"process_resident_memory_bytes{_OF}", "{{instance}}")]),
        Panel("Services", "short", [("min by (dependency) (txnwatch_dependency_up)", "{{dependency}}")]),
        Panel("Tried again", "short", [("txnwatch_retries_in_progress", "{{dependency}}, {{instance}}")]),
        Panel("Open files", "short", [(f"process_open_fds{_OF}", "{{instance}}")]),
    ),
}


def dashboard() -> str:
    """The dashboard as JSON, which Grafana imports; it asks which Prometheus to take."""
    return json.dumps(
        {
            "uid": "txnwatch",
            "title": "txnwatch",
            "tags": ["txnwatch"],
            "schemaVersion": 39,
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [_DATA_SOURCE, _JOBS]},
            "panels": [*_panels()],
        },
        indent=1,
    )


_DATA_SOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
_JOBS = {
    "name": "job",
    "label": "Job",
    "type": "query",
    "datasource": _SOURCE,
    "query": "label_values(txnwatch_build_info, job)",
    "refresh": 2,
    "includeAll": True,
    "multi": True,
    "current": {"text": "All", "value": "$__all"},
}


def _panels() -> Iterator[dict[str, Any]]:
    numbers, y = count(1), 0
    for title, panels in ROWS.items():
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
        yield {"id": next(numbers), "type": "row", "title": title, "gridPos": place, "panels": []}
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            place = {"h": _HEIGHT, "w": panel.width, "x": x, "y": y}
            yield {"id": next(numbers), "gridPos": place, **_chart(panel)}
            x += panel.width
        y += _HEIGHT


def _chart(panel: Panel) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    custom = {"fillOpacity": 20 if panel.stacked else 0, "stacking": stacking, "showPoints": "never"}
    targets = [
        {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
        for at, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }
