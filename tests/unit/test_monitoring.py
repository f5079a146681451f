"""Alerts and dashboard: of metrics that there are, and firing when they should and not otherwise."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import Metrics
from infra.cli import main
from infra.ingest.metrics import IngestCounts
from infra.monitoring.cli import ALERTS
from infra.monitoring.dashboard import dashboard
from stream_app.metrics import COUNTERS, GAUGES, WorkerMetrics
from tests.support.documents import blocks
from tests.support.promtool import promtool
from tests.support.settings_variables import known_variables
from tests.support.source import ROOT

OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_A_SCRAPE = {"job", "instance", "le"}
PAGE = "docs/alerts.md"
INTRODUCTION = """\
# Alerts

What the rules of `txnwatch metrics alerts` alert of, what it means, and what to do. The page is made of
`infra/monitoring/alerts.yml` by `pytest tests/unit/test_monitoring.py --update-goldens`.
"""
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
# For each alert, series by which it fires in half an hour, and series that are well. 0+30x40 is 0 and then 40
# values, one a minute, each 30 larger than before.
LAG, COMMITS = 'txnwatch_lag_offsets{partition="1"}', 'txnwatch_commits_total{partition="1"}'
FOREIGN, COMMITTED = 'txnwatch_ingest_lag_offsets{topic="a"}', "txnwatch_ingest_commit_seconds_count"
ANSWERS = "txnwatch_api_answers_total"
SHARED = {
    "TxnwatchRefusing": ('txnwatch_records_total{outcome="refused_json"}', "txnwatch_consumed_records_total"),
    "TxnwatchApiErrors": (ANSWERS + '{class="5xx"}', ANSWERS + '{class="2xx"}'),
    "TxnwatchIngestRefusing": (
        'txnwatch_ingest_records_total{outcome="refused_amount"}', "txnwatch_ingest_consumed_records_total",
    ),
}  # fmt: skip
ALONE = {
    "TxnwatchDown": ('up{job="txnwatch-api"}', "0x40", "1x40"),
    "TxnwatchDependencyDown": ('txnwatch_dependency_up{dependency="kafka"}', "1x10 0x30", "1x40"),
    "TxnwatchStalled": ('txnwatch_progress_timestamp_seconds{partition="1"}', "600x40", "0+60x40"),
    "TxnwatchRetrying": ('txnwatch_retries_in_progress{dependency="Postgres"}', "0x10 3x30", "1 0x40"),
    "TxnwatchHeldBack": ('txnwatch_held_back_offsets{partition="1"}', "12x40", "12 0x40"),
    "TxnwatchGivingPartitionsUp": (
        'txnwatch_given_up_partitions_total{reason="fenced_by_kafka"}', "0x10 1+1x30", "0x10 1x30",
    ),
    "TxnwatchDamagedWindows": (
        'txnwatch_given_up_partitions_total{reason="damaged_windows"}', "0x10 1x30", "0x40",
    ),
    "TxnwatchMirrorBehind": ("txnwatch_mirror_behind_seconds", "0+30x40", "40x40"),
    "TxnwatchDecisionsWaiting": ('txnwatch_decisions_waiting{partition="1"}', "1x40", "0x10 1x2 0x30"),
    "TxnwatchRuleFailing": ('txnwatch_rules_total{rule="rent",outcome="failed"}', "0x10 1+1x30", "3x40"),
    "TxnwatchDetectorFailing": ('txnwatch_shadow_total{detector="odds",outcome="failed"}', "0+1x40", "0x40"),
    "TxnwatchStatesLost": ("txnwatch_lost_states_total", "0+1x40", "0x40"),
    "TxnwatchMisplacedUsers": ("txnwatch_misplaced_users_total", "0+1x40", "0x40"),
    "TxnwatchApiFull": ('txnwatch_api_sse_turned_away_total{reason="full"}', "0+2x40", "0x40"),
    "TxnwatchIngestRestarting": ("txnwatch_ingest_restarts_total", "0+1x40", "0x39 1"),
}  # fmt: skip
Series = list[tuple[str, str]]
CASES: dict[str, tuple[Series, Series]] = {
    **{name: ([(series, bad)], [(series, good)]) for name, (series, bad, good) in ALONE.items()},
    **{
        name: ([(some, "0+3x40"), (of, "0+100x40")], [(some, "0+1x40"), (of, "0+1000x40")])
        for name, (some, of) in SHARED.items()
    },
    "TxnwatchNoWorker": ([(ANSWERS, "0x40")], [("txnwatch_consumed_records_total", "0x40")]),
    "TxnwatchStuck": (
        [(LAG, "7x40"), (COMMITS, "9x40")],
        [(LAG, "7x40"), (COMMITS, "9+1x40")],
    ),
    "TxnwatchFallingBehind": (
        [("txnwatch_lag_offsets", "0+60000x40"), ("txnwatch_consumed_records_total", "0+60000x40")],
        [("txnwatch_lag_offsets", "200000x40"), ("txnwatch_consumed_records_total", "0+60000x40")],
    ),
    "TxnwatchDecisionsApart": (
        [('txnwatch_decision{partition="1"}', "7x40"), ('txnwatch_decision{partition="2"}', "8x40")],
        [('txnwatch_decision{partition="1"}', "7x40"), ('txnwatch_decision{partition="2"}', "7x40")],
    ),
    "TxnwatchSlowStep": (
        [('txnwatch_step_seconds_bucket{step="rows",le="3"}', "0x40"),
         ('txnwatch_step_seconds_bucket{step="rows",le="10"}', "0+5x40"),
         ('txnwatch_step_seconds_bucket{step="rows",le="+Inf"}', "0+5x40")],
        [('txnwatch_step_seconds_bucket{step="rows",le="3"}', "0+5x40"),
         ('txnwatch_step_seconds_bucket{step="rows",le="+Inf"}', "0+5x40")],
    ),
    "TxnwatchApiSlow": (
        [('txnwatch_api_request_seconds_bucket{le="2.5"}', "0x40"),
         ('txnwatch_api_request_seconds_bucket{le="5.0"}', "0+5x40"),
         ('txnwatch_api_request_seconds_bucket{le="+Inf"}', "0+5x40")],
        [('txnwatch_api_request_seconds_bucket{le="1.0"}', "0+5x40"),
         ('txnwatch_api_request_seconds_bucket{le="+Inf"}', "0+5x40")],
    ),
    "TxnwatchIngestStuck": (
        [(FOREIGN, "7x40"), (COMMITTED, "9x40")],
        [(FOREIGN, "7x40"), (COMMITTED, "9+1x40")],
    ),
    "TxnwatchFewFiles": (
        [("process_open_fds", "950x40"), ("process_max_fds", "1000x40"), ("txnwatch_build_info", "1x40")],
        [("process_open_fds", "950x40"), ("process_max_fds", "1000x40"), ("another_build_info", "1x40")],
    ),
}  # fmt: skip


@cache
def exposed() -> dict[str, set[str]]:
    """Every sample's name that a program exposes, with its labels."""
    worker = WorkerMetrics()
    worker.partitions.read = lambda: {1: dict.fromkeys({**GAUGES, **COUNTERS}, 1.0)}
    texts = worker.text(), Metrics().text(), IngestCounts().text()
    families = [one for text in texts for one in text_string_to_metric_families(text.decode())]
    names = {family.name for family in families}
    assert {re.sub("_(total|bucket)$", "", name) for name in _WITHOUT_SAMPLES} <= names | {*OF_PROMETHEUS}
    return {name: labels for family in families for name, labels in _names(family)} | _WITHOUT_SAMPLES


def _names(family: Metric) -> Iterator[tuple[str, set[str]]]:
    for sample in family.samples:
        yield sample.name, {*sample.labels} | OF_A_SCRAPE


# These have none before something happened.
_WITHOUT_SAMPLES = {
    "txnwatch_dependency_up": {"dependency"} | OF_A_SCRAPE,
    "txnwatch_retries_in_progress": {"dependency"} | OF_A_SCRAPE,
    "txnwatch_shadow_total": {"detector", "outcome"} | OF_A_SCRAPE,
    "txnwatch_rules_total": {"rule", "outcome"} | OF_A_SCRAPE,
    "txnwatch_api_requests_total": {"route", "method", "status"} | OF_A_SCRAPE,
    "txnwatch_api_request_seconds_bucket": {"route"} | OF_A_SCRAPE,
    "txnwatch_api_sse_clients": {"topic"} | OF_A_SCRAPE,
    "txnwatch_ingest_lag_offsets": {"topic", "partition"} | OF_A_SCRAPE,
    "txnwatch_ingest_group_lag_offsets": {"topic", "partition"} | OF_A_SCRAPE,
    **OF_PROMETHEUS,
}


def queries() -> list[str]:
    panels: list[Any] = json.loads(dashboard())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


@pytest.mark.parametrize("query", sorted({*queries(), *(one["expr"] for one in RULES)}))
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    known = exposed()
    named = re.findall(r"\b(up|(?:txnwatch|process)_\w+)(?:\{([^}]*)\})?", query)

    assert named
    for name, matchers in named:
        assert name in known, name
        assert {*re.findall(r'(\w+)!?=~?"', matchers)} <= known[name], name
    lists = re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
    grouped = {label for one in lists for label in one.split(", ")}
    assert grouped <= set.union(*(known[name] for name, _ in named))


def test_prometheus_takes_the_rules_and_every_query(tmp_path: Path) -> None:
    asked = [one.replace("$__rate_interval", "5m").replace("$job", "txnwatch") for one in queries()]
    recorded = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(asked)]
    dashboards = tmp_path / "dashboard.yml"
    dashboards.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))

    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(ALERTS))
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(dashboards))


def test_each_alert_fires_when_it_should_and_not_when_all_is_well(tmp_path: Path) -> None:
    cases = [
        _case(name, series, fires=fires)
        for name, both in CASES.items()
        for series, fires in zip(both, (True, False), strict=True)
    ]
    tests = tmp_path / "tests.yml"
    tests.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "5m", "tests": cases}))

    assert {*CASES} == {one["alert"] for one in RULES}
    assert "SUCCESS" in promtool("test", "rules", str(tests))


def _case(name: str, series: Iterable[tuple[str, str]], *, fires: bool) -> dict[str, Any]:
    given = [{"series": _of_an_instance(one), "values": values} for one, values in series]
    asked = {
        "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
        "eval_time": "35m",
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }
    return {"name": f"{name} {fires}", "interval": "1m", "input_series": given, "promql_expr_test": [asked]}


def _of_an_instance(series: str) -> str:
    name, _, labels = series.partition("{")
    return f'{name}{{instance="one",{labels or "}"}'


def page() -> str:
    """What each alert means, when it fires and what to do."""
    parts = [_part(one["alert"], one["expr"], one["for"], **one["annotations"]) for one in RULES]
    return "\n".join([INTRODUCTION, *parts])


def _part(name: str, expr: str, lasting: str, **said: str) -> str:
    assert said["runbook"] == f"{PAGE}#{name.lower()}"
    when = f"{expr} for {lasting}" if lasting != "0m" else expr
    return f"## {name}\n\n{said['description']}\n\n    {when}\n\n{said['remedy']}\n"


def test_the_page_of_alerts_is_that_of_the_rules(pytestconfig: pytest.Config) -> None:
    if pytestconfig.option.update_goldens:
        (ROOT / PAGE).write_text(page())

    assert (ROOT / PAGE).read_text() == page()
    assert {*re.findall(r"`(TXNWATCH_\w+)`", page())} <= known_variables()


def test_every_panel_asks_the_prometheus_that_is_chosen_and_has_the_unit_of_what_it_shows() -> None:
    made = json.loads(dashboard())
    source = {"type": "prometheus", "uid": "${datasource}"}
    charts = [one for one in made["panels"] if one["type"] != "row"]

    assert [one["type"] for one in made["templating"]["list"]] == ["datasource", "query"]
    assert len({one["id"] for one in made["panels"]}) == len(made["panels"])
    for chart in charts:
        its, shown = chart["targets"], chart["fieldConfig"]["defaults"]["unit"]
        assert [chart["datasource"], *(one["datasource"] for one in its)] == [source] * (len(its) + 1)
        assert len({one["refId"] for one in its}) == len(its)
        assert {unit_of(one["expr"]) for one in its} == {shown.replace("reqps", "ops")}, chart["title"]


def unit_of(query: str) -> str:
    """By the name of what it asks for: a second a second is a share of one."""
    name = query.partition("{")[0].rpartition("(")[2].partition(")")[0].partition("[")[0]
    base = name.removesuffix("_sum").removesuffix("_total").removesuffix("_bucket")
    unit = {"seconds": "s", "bytes": "bytes"}.get(base.rpartition("_")[2], "short")
    if "rate(" in query and "histogram_quantile" not in query:
        return "percentunit" if unit == "s" else "ops"
    return unit


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard())["panels"]:
        at = panel["gridPos"]
        place = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & place, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= place


def test_commands_print_both() -> None:
    runner = CliRunner()

    assert runner.invoke(main, ["metrics", "alerts"]).output == ALERTS.read_text()
    assert runner.invoke(main, ["metrics", "dashboard"]).output == dashboard() + "\n"


def test_prometheus_takes_what_the_page_on_operating_tells_it(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    [told] = [one for one in blocks(page, "yaml") if "scrape_configs" in one]
    (tmp_path / "prometheus.yml").write_text(told)
    (tmp_path / "txnwatch-alerts.yml").write_text(ALERTS.read_text())

    jobs = {one["job_name"] for one in yaml.safe_load(told)["scrape_configs"]}
    assert jobs == {"txnwatch-worker", "txnwatch-api", "txnwatch-ingest"}
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))
