"""The same value of a setting gets the same verdict, in the same line, from every command that reads it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import api.settings
import infra.ingest.settings
import infra.runtime.settings
import stream_app.detectors
import stream_app.settings
from infra.cli import main
from infra.runtime.settings import SettingsGroup
from tests.support.settings_variables import known_variables, variables

COMMANDS: dict[str, type[SettingsGroup]] = {
    "topics": infra.runtime.settings.Settings,
    "migrate": infra.runtime.settings.Settings,
    "partitions ensure": infra.runtime.settings.Settings,
    "services status": infra.runtime.settings.Settings,
    "demo": infra.runtime.settings.Settings,
    "produce --generate 1": infra.runtime.settings.Settings,
    "worker": stream_app.settings.Settings,
    "dlq list": stream_app.settings.Settings,
    "mirror rebuild": stream_app.settings.Settings,
    "rows restore": stream_app.settings.Settings,
    "ingest --mapping paysim --topic payments": infra.ingest.settings.Settings,
    "api": api.settings.Settings,
}
TOPICS = ("TRANSACTIONS", "SCORED", "ANOMALIES", "DLQ", "CONTROL")
WRONG = [
    *(("TXNWATCH_APP_ID", value) for value in ("", "a b", "i" * 150)),
    *(
        ("KAFKA_BOOTSTRAP_SERVERS", value)
        for value in ("", "one", "one:9092,", "http://one:9092", "a b:9092", "one:port", "one:0", "one:70000")
    ),
    *(("KAFKA_BOOTSTRAP_SERVERS", value) for value in ("[::1]", "[::1:9092", "::1:9092", "[one]:9092")),
    *(
        ("POSTGRES_URL", f"{value}/s3cret")
        for value in ("mysql://one", "one:5432", "postgresql://one:0", "postgresql://one:70000")
    ),
    ("POSTGRES_URL", "postgresql://user:s3cret@one:5432,two:port/txnwatch"),
    *(("REDIS_URL", f"{value}/7") for value in ("http://one", "one", "redis://one:0", "redis://one:70000")),
    *((f"TXNWATCH_{name}_TOPIC", value) for name in TOPICS for value in ("a b", "t" * 250, "not/a/topic")),
    *((f"TXNWATCH_{name}_TOPIC", "") for name in TOPICS if name not in {"SCORED", "CONTROL"}),
    *((f"TXNWATCH_{name}_TOPIC", "txnwatch-windows-changelog") for name in TOPICS),
    ("TXNWATCH_SCORED_TOPIC", "transactions"),
    ("TXNWATCH_DLQ_TOPIC", "anomalies"),
    ("TXNWATCH_DETECTOR", "s3cret"),
    ("TXNWATCH_PARTITIONER", "murmur3"),
    ("TXNWATCH_PARTITIONS", "0"),
    ("TXNWATCH_REPLICATION", "-1"),
    ("TXNWATCH_WINDOW_SIZE", "201"),
    ("TXNWATCH_WINDOW_MINIMUM", "21"),
    ("TXNWATCH_FACTOR", "0"),
    ("TXNWATCH_MAX_MESSAGE_BYTES", "many"),
    ("TXNWATCH_MAX_AHEAD_HOURS", "nan"),
    ("TXNWATCH_MONTHS_AHEAD", "-1"),
    ("TXNWATCH_RETENTION_MONTHS", "12001"),
    ("TXNWATCH_WEB_PORT", "0"),
    ("TXNWATCH_WEB_PORT", "70000"),
    ("TXNWATCH_API_PORT", "70000"),
]


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours is set, and the working folder has no .env."""
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def settings_of(command: str) -> list[type[SettingsGroup]]:
    """What the command reads; the worker also what its detector says that it needs."""
    return [COMMANDS[command], *(stream_app.detectors.all_settings() if command == "worker" else [])]


def readers(variable: str) -> dict[str, type[SettingsGroup]]:
    return {
        command: settings
        for command in COMMANDS
        for settings in settings_of(command)
        if variable in variables(settings)
    }


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_ends_every_command_that_reads_it_with_the_same_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    results = {command: CliRunner().invoke(main, command.split()) for command in readers(variable)}
    (line,) = {result.output for result in results.values()}

    assert {result.exit_code for result in results.values()} == {1}
    assert line.startswith(f"Error: {variable}: ")
    assert line.count("\n") == 1
    assert not value or value in {"0", "many", "transactions", "anomalies"} or value not in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TXNWATCH_APP_ID", "i" * 100),
        ("KAFKA_BOOTSTRAP_SERVERS", "[::1]:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "one:9092, [fe80::1%eth0]:9093 ,127.0.0.1:9094"),
        ("POSTGRES_URL", "postgres://user:p%40ss@one:5432,[::1]:5433,three/txnwatch?sslmode=require"),
        ("POSTGRES_URL", "postgresql:///txnwatch?host=/var/run/postgresql"),
        ("REDIS_URL", "rediss://:secret@one:6380/2"),
        ("REDIS_URL", "redis://[::1]:6379/0"),
        ("REDIS_URL", "unix:///run/valkey.sock?db=1"),
        ("TXNWATCH_SCORED_TOPIC", ""),
        ("TXNWATCH_DLQ_TOPIC", "t" * 249),
        ("TXNWATCH_WINDOW_MINIMUM", "20"),
    ],
)
def test_a_good_value_is_read_by_every_command(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    for settings in set(readers(variable).values()):
        settings()


@pytest.mark.parametrize("variable", sorted(known_variables()))
def test_a_setting_has_the_same_default_everywhere(variable: str) -> None:
    found = [
        getattr(settings(), variables(settings)[variable]) for settings in set(readers(variable).values())
    ]

    assert found
    assert len({str(value) for value in found}) == 1
