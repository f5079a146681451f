"""The settings of topics, migrations and services."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.embedded.cli import services
from infra.runtime.settings import Settings, SettingsError, SettingsGroup, all_settings
from tests.support.settings_variables import known_variables


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours is set, and the working folder has no .env."""
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_everything_is_local_by_default() -> None:
    settings = Settings.load()

    assert settings.kafka == "localhost:9092"
    assert settings.postgres.get_secret_value() == "postgresql://localhost:5432/txnwatch"
    assert settings.redis.get_secret_value() == "redis://localhost:6379/0"
    assert settings.topics == (
        "transactions",
        "transactions.scored",
        "anomalies",
        "transactions.dlq",
        "txnwatch-windows-changelog",
        "transactions.control",
    )
    assert settings.datadir == Path(".txnwatch")
    assert (settings.partitions, settings.replication) == (4, 1)


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("TXNWATCH_PARTITIONS=8\nTXNWATCH_APP_ID=from-file\nUNRELATED=1\n")
    monkeypatch.setenv("TXNWATCH_APP_ID", "from-environment")

    settings = Settings.load()

    assert settings.partitions == 8
    assert settings.changelog_topic == "from-environment-windows-changelog"


def test_an_empty_scored_topic_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_SCORED_TOPIC", "")

    assert "transactions.scored" not in Settings.load().topics
    assert len(Settings.load().topics) == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TXNWATCH_PARTITIONS", "many"),
        ("TXNWATCH_PARTITIONS", "0"),
        ("TXNWATCH_REPLICATION", "-1"),
        ("TXNWATCH_APP_ID", "no spaces"),
        ("TXNWATCH_TRANSACTIONS_TOPIC", ""),
        ("TXNWATCH_DLQ_TOPIC", "not/a/topic"),
        ("POSTGRES_URL", "mysql://localhost/txnwatch"),
        ("REDIS_URL", "localhost:6379"),
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_variables_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=f"^{variable}: "):
        Settings.load()


def test_every_refused_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_PARTITIONS", "many")
    monkeypatch.setenv("REDIS_URL", "here")

    with pytest.raises(SettingsError, match=r"REDIS_URL: .*; TXNWATCH_PARTITIONS: "):
        Settings.load()


def test_two_topics_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_DLQ_TOPIC", "anomalies")

    with pytest.raises(SettingsError, match=r"^TXNWATCH_DLQ_TOPIC: TXNWATCH_ANOMALIES_TOPIC gives"):
        Settings.load()


def test_a_password_is_neither_in_an_error_nor_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "postgresql://someone:s3cret@db/txnwatch")
    assert "s3cret" not in repr(Settings.load())

    monkeypatch.setenv("POSTGRES_URL", "mysql://someone:s3cret@db/txnwatch")
    with pytest.raises(SettingsError) as raised:
        Settings.load()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TXNWATCH_WINDOWSIZE", "TXNWATCH_WINDOW_SIZE"),
        ("TXNWATCH_RETENTION_MONTH", "TXNWATCH_RETENTION_MONTHS"),
        ("txnwatch_sse_client", "TXNWATCH_SSE_CLIENTS"),
        ("TXNWATCH_KAFKA", "TXNWATCH_KAFKA_CA"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize("settings", list(all_settings()), ids=lambda settings: settings.__module__)
def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_there_is(
    settings: type[SettingsGroup], place: str, name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv(name, "s3cret")
    else:
        Path(".env").write_text(f"{name}=s3cret\n")

    with pytest.raises(SettingsError) as raised:
        settings.load()
    assert str(raised.value) == f"{name.upper()}: there is no such setting; did you mean {nearest}?"


def test_the_settings_of_other_parts_and_programs_are_no_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TXNWATCH_SSE_CLIENTS", "TXNWATCH_BATCH_SIZE", "POSTGRES_PASSWORD", "XTXNWATCH_A"):
        monkeypatch.setenv(name, "12")

    Settings.load()


def test_no_part_has_to_be_started_to_know_its_settings() -> None:
    script = (
        "import sys\n"
        "from infra.runtime.settings import all_settings\n"
        "assert len(list(all_settings())) >= 3\n"
        "print(sorted({'faust', 'aiokafka', 'aiohttp', 'asyncpg', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_value_given_by_the_command_line_wins_and_is_refused_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_MONTHS_AHEAD", "5")

    assert Settings.load(months_ahead=None).months_ahead == 5
    assert Settings.load(months_ahead=7).months_ahead == 7
    with pytest.raises(SettingsError, match=r"^TXNWATCH_MONTHS_AHEAD: "):
        Settings.load(months_ahead=-1)


def test_a_data_folder_given_to_faust_wins_over_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_DATADIR", "ours")
    monkeypatch.setenv("F_DATADIR", "of-faust")

    assert Settings.load().datadir == Path("of-faust")
    assert Settings.load(datadir=Path("given")).datadir == Path("given")


def test_an_error_of_the_settings_has_no_value_wherever_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "mysql://someone:s3cret@db/txnwatch")

    with pytest.raises(ValueError, match="POSTGRES_URL") as raised:
        Settings()
    assert "s3cret" not in str(raised.value)


def test_an_installation_older_than_the_code_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_installed(*, group: str) -> tuple[()]:
        assert group == "txnwatch.settings"
        return ()

    monkeypatch.setattr("infra.runtime.settings.entry_points", none_installed)
    monkeypatch.setenv("TXNWATCH_API_PORT", "8000")

    with pytest.raises(SettingsError, match="run `make install`"):
        Settings.load()


def test_services_of_a_given_folder_are_stopped_whatever_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TXNWATCH_PARTITIONS", "0")

    stopped = CliRunner().invoke(services, ["down", "--datadir", str(tmp_path / "none")])

    assert (stopped.exit_code, stopped.output) == (0, "nothing was running\n")


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_a_secret_can_be_in_a_file(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("postgresql://user:p%C3%A4ss@host/db\n")
    if where == "environment":
        Path(".env").write_text("POSTGRES_URL=postgresql://elsewhere/db\n")  # which the environment wins over
        monkeypatch.setenv("POSTGRES_URL_FILE", "secret")
    else:
        Path(".env").write_text("POSTGRES_URL_FILE=secret\nTXNWATCH_WEB_SECRET_FILE=\n")
        monkeypatch.setenv("POSTGRES_URL", "")  # as a compose file says that it is not set

    assert Settings.load().postgres.get_secret_value() == "postgresql://user:p%C3%A4ss@host/db"


def test_a_variable_wins_over_a_file_that_dotenv_names(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("POSTGRES_URL_FILE=absent\n")
    monkeypatch.setenv("POSTGRES_URL", "postgresql://host/db")

    assert Settings.load().postgres.get_secret_value() == "postgresql://host/db"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "TXNWATCH_KAFKA_PASSWORD_FILE: no file that can be read: No such file or directory"),
        (b"", "TXNWATCH_KAFKA_PASSWORD_FILE: the file has to have the secret as text, and nothing else"),
        (b"\xff", "TXNWATCH_KAFKA_PASSWORD_FILE: the file has to have the secret as text, and nothing else"),
        (b"a" * 70_000, "TXNWATCH_KAFKA_PASSWORD_FILE: the file has to have the secret as text, and nothing"),
    ],
)
def test_a_file_that_has_no_secret_is_refused_by_its_variables_name(
    content: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        Path("secret").write_bytes(content)
    monkeypatch.setenv("TXNWATCH_KAFKA_PASSWORD_FILE", "secret")

    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        Settings.load()


def test_a_secret_that_is_said_in_two_ways_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@host")
    monkeypatch.setenv("REDIS_URL_FILE", "secret")

    with pytest.raises(SettingsError, match=r"^REDIS_URL and REDIS_URL_FILE: give one of the two$"):
        Settings.load()


def test_what_is_no_secret_is_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_PARTITIONS_FILE", "count")

    with pytest.raises(SettingsError, match=r"^TXNWATCH_PARTITIONS_FILE: there is no such setting"):
        Settings.load()
