"""How a log looks, and what is logged of what libraries say and repeat."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from api.settings import Settings
from infra.runtime.logs import LogSettings, RepeatFilter, log_start, start_logging
from infra.runtime.settings import SettingsGroup, all_settings

USER, AMOUNT = "1e145f1e-f2e1-512a-aebb-35bb6597e178", "4321.07"


def record(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, None)


@pytest.fixture
def repeat_filter() -> RepeatFilter:
    return RepeatFilter(lambda name: name.startswith("aiokafka"), seconds=60)


def test_one_wording_of_a_library_passes_once(repeat_filter: RepeatFilter) -> None:
    passed = [repeat_filter.filter(record("aiokafka.conn", "no %s", number)) for number in range(3)]

    assert passed == [True, False, False]
    assert repeat_filter.filter(record("aiokafka.conn", "another"))
    assert repeat_filter.filter(record("aiokafka.client", "no %s", 1))


def test_what_is_not_limited_always_passes(repeat_filter: RepeatFilter) -> None:
    assert all(repeat_filter.filter(record("api.live", "no %s", number)) for number in range(3))


def test_it_passes_again_after_a_while() -> None:
    repeat_filter = RepeatFilter(lambda _: True, seconds=0)

    assert all(repeat_filter.filter(record("aiokafka.conn", "no")) for _ in range(3))


def test_what_begins_with_its_subject_passes_once_a_text() -> None:
    repeat_filter = RepeatFilter(lambda _: True, seconds=60)
    passed = [
        repeat_filter.filter(record("infra.runtime.retry", "%s: %s; trying again", name, "no"))
        for name in ("Kafka", "Postgres", "Kafka")
    ]

    assert passed == [True, True, False]


@pytest.fixture
def _root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The root logger, and what is told of an error that ends a program, are afterwards as they were."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    for handler in handlers:
        root.removeHandler(handler)  # force=True would close pytest's
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_root")
def test_a_log_has_our_lines_and_of_libraries_what_is_wrong(tmp_path: Path) -> None:
    start_logging(LogSettings(), path=tmp_path / "log")
    logging.getLogger("stream_app.takeover").info("partition %d: taken over", 3)
    logging.getLogger("faust.web").info("chatter")
    logging.getLogger("aiokafka.consumer.group_coordinator").warning("Heartbeat failed: %s", "rebalancing")
    logging.getLogger("of_a_library.conn").warning("no broker")

    lines = (tmp_path / "log").read_text().splitlines()
    assert [re.sub(r"^\S+ \S+ ", "", line) for line in lines] == [
        "INFO stream_app.takeover: partition 3: taken over",
        "WARNING of_a_library.conn: no broker",
    ]


@pytest.mark.usefixtures("_root")
def test_at_debug_a_log_has_what_libraries_do_and_not_what_they_read(tmp_path: Path) -> None:
    start_logging(LogSettings(log_level="DEBUG"), path=tmp_path / "log")
    logging.getLogger("stream_app.takeover").debug("ours")
    logging.getLogger("faust.web").info("chatter")
    logging.getLogger("aiokafka.conn").debug("a whole record")

    lines = (tmp_path / "log").read_text()
    assert "DEBUG stream_app.takeover: ours" in lines
    assert "INFO faust.web: chatter" in lines
    assert "a whole record" not in lines


def fail_over_data() -> None:
    """As asyncpg's errors are: the row is in the further lines, and quoted in the first."""
    try:
        int(f"{AMOUNT} of {USER}")
    except ValueError as error:
        several = [LookupError(f"{AMOUNT} is wrong\nDETAIL: ({USER}, {AMOUNT})")]
        several[0].__cause__ = several[0]  # as of what ends a worker
        raise ExceptionGroup("several", several) from error


@pytest.mark.usefixtures("_root")
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_has_an_id_and_no_error_what_it_quotes(tmp_path: Path, form: Literal["text", "json"]) -> None:
    start_logging(LogSettings(log_format=form), path=tmp_path / "log")
    log = logging.getLogger("stream_app.pipeline")
    log.warning("user %s has\ntwo windows", USER)
    try:
        fail_over_data()
    except ExceptionGroup:
        log.exception("it failed")
        logging.getLogger("asyncio").exception("a task failed: LookupError('%s')", AMOUNT)
        sys.excepthook(*sys.exc_info())

    said = (tmp_path / "log").read_text()
    assert not re.search(f"{USER}|{AMOUNT}", said)
    assert "user … has two windows" in said
    assert "in fail_over_data" in said
    assert "ValueError: invalid literal for int() with base …: …" in said
    assert said.count("LookupError: … is wrong") == 3


@pytest.mark.usefixtures("_root")
def test_json_is_an_object_a_line(tmp_path: Path) -> None:
    start_logging(LogSettings(log_format="json"), path=tmp_path / "log")
    log = logging.getLogger("stream_app.takeover")
    log.info('partition %d: "taken over"', 3)
    try:
        fail_over_data()
    except ExceptionGroup:
        log.exception("it failed")

    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert datetime.fromisoformat(first.pop("time")).tzinfo == UTC
    assert first == {"level": "INFO", "logger": "stream_app.takeover", "message": 'partition 3: "taken over"'}
    assert (second["level"], second["message"]) == ("ERROR", "it failed")
    assert "in fail_over_data" in second["error"]


@pytest.mark.parametrize("settings", list(all_settings()), ids=lambda settings: settings.__module__)
def test_no_secret_of_any_settings_is_said(
    settings: type[SettingsGroup], caplog: pytest.LogCaptureFixture
) -> None:
    secrets = [name for name, field in settings.model_fields.items() if field.annotation is SecretStr]
    values = {name: SecretStr(f"http://ann:hush@{name}?password=hush#hush") for name in secrets}
    caplog.set_level(logging.INFO)
    log_start("any", settings.model_construct(_fields_set={*secrets}, **values))

    assert "hush" not in caplog.text
    assert all(f"{settings.variables()[name]}=http://{name}" in caplog.text for name in secrets)


@pytest.mark.usefixtures("_root")
def test_a_program_says_what_it_is_and_its_settings_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTGRES_URL", "postgresql://ann:hush@db:5432/rows?password=hush")
    monkeypatch.setenv("TXNWATCH_WORKER_URL", "http://ann:hush@worker:6066")
    monkeypatch.setenv("TXNWATCH_CURSOR_KEY", "hush")
    settings = Settings.load(port=8001)
    start_logging(settings, path=tmp_path / "log")
    log_start("api", settings, rule="a rule")

    said = (tmp_path / "log").read_text().splitlines()
    lines = [line.partition(" infra.runtime.logs: ")[2] for line in said]
    assert re.fullmatch(r"txnwatch api \d\S+ on Python 3\S+", lines[0])
    assert lines[1] == "rule: a rule"
    assert lines[2].startswith("settings: ")
    assert {"POSTGRES_URL=postgresql://db:5432", "TXNWATCH_API_PORT=8001", "TXNWATCH_CURSOR_KEY=***"} < set(
        lines[2].removeprefix("settings: ").split(", ")
    )
    assert "TXNWATCH_WORKER_URL=http://worker:6066" in lines[2]
    assert "hush" not in lines[2]
