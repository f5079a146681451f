"""No part of a password in anything that a command prints, whatever it is made of and whatever is wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from infra.cli import main
from infra.runtime.settings import all_settings
from tests.support.commands import commands
from tests.support.settings_variables import known_variables

# What a password that was not encoded is cut at, by whoever reads the URL: the parts are secret, too.
PARTS = ("Hush1", "Hush2")
SEPARATORS = ["", *"@/#?: %[],ü&=;\\", "%zz", "@:", "/@", "?@"]
PASSWORDS = [separator.join(PARTS) for separator in SEPARATORS]
POSTGRES = [
    *(f"postgresql://user:{password}@127.0.0.1:1/txnwatch" for password in PASSWORDS),
    *(f"postgresql://user:{quote(password, safe='')}@127.0.0.1:1/txnwatch" for password in PASSWORDS),
    *(f"postgresql://user@127.0.0.1:1/txnwatch?password={password}" for password in PASSWORDS),
    *(f"postgresql://user:12/{password}@127.0.0.1:1/txnwatch" for password in PASSWORDS),
    "postgresql://user:Hush1Hush2@127.0.0.1:1/txnwatch?sslmode=Hush1",
    "postgresql://user:Hush1Hush2@127.0.0.1:1/txnwatch?port=Hush1",
    "postgresql://Hush1:Hush2@127.0.0.1:1,127.0.0.1:2/txnwatch",
    "mysql://user:Hush1Hush2@127.0.0.1/txnwatch",
]
REDIS = [
    *(f"redis://:{password}@127.0.0.1:1/0" for password in PASSWORDS),
    *(f"rediss://user:{quote(password, safe='')}@127.0.0.1:1/0" for password in PASSWORDS),
    *(f"redis://127.0.0.1:1/0?password={password}" for password in PASSWORDS),
    "redis://:Hush1Hush2@127.0.0.1:1/Hush1",
    "redis://:Hush1Hush2@127.0.0.1:1/0?db=Hush1",
    "redis://:Hush1Hush2@127.0.0.1:1/0?socket_timeout=Hush1",
    "http://:Hush1Hush2@127.0.0.1:1/0",
]
KAFKA = [f"user:{password}@127.0.0.1:1" for password in PASSWORDS]
SERVING = {"worker", "api"}
"""Begin to serve where every URL can be read."""


def cases() -> Iterator[tuple[str, str, str]]:
    """A variable, its URL and a command: all URLs for one that reads it, and some for every command."""
    yield from (("POSTGRES_URL", url, "migrate") for url in POSTGRES)
    yield from (("REDIS_URL", url, "mirror rebuild") for url in REDIS)
    yield from (("KAFKA_BOOTSTRAP_SERVERS", url, "topics") for url in KAFKA)
    for command in commands(main):
        yield "POSTGRES_URL", "postgresql://user:Hush1@Hush2@127.0.0.1:1/txnwatch", command
        yield "REDIS_URL", "redis://:Hush1/Hush2@127.0.0.1:1/0", command
        yield "KAFKA_BOOTSTRAP_SERVERS", "user:Hush1@Hush2@127.0.0.1:1", command
        if command not in SERVING:
            yield "POSTGRES_URL", "postgresql://user:Hush1%2FHush2@127.0.0.1:1/txnwatch", command
            yield "REDIS_URL", "redis://:Hush1%2FHush2@127.0.0.1:1/0", command


OTHERS = {
    "TXNWATCH_KAFKA_SECURITY": "SASL_SSL",
    "TXNWATCH_KAFKA_USER": "ann",
    "TXNWATCH_KAFKA_PASSWORD": "Hush1Hush2",
    "TXNWATCH_KAFKA_KEY_PASSWORD": "Hush1Hush2",
    "TXNWATCH_CURSOR_KEY": "Hush1Hush2",
    "TXNWATCH_OIDC_CLIENT_SECRET": "Hush1Hush2",
    "TXNWATCH_WEB_SECRET": "Hush1Hush2Hush1Hush2",
    "TXNWATCH_SCHEMA_REGISTRY_URL": "http://ann:Hush1/Hush2@127.0.0.1:1",
    "TXNWATCH_SCHEMA_REGISTRY_TOKEN": "Hush1Hush2",
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing answers at the addresses, and the working folder has no .env."""
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    (tmp_path / "labels.csv").write_text("id,user_id,txn_date,label\n")
    (tmp_path / "rules.toml").write_text("")


def test_no_command_prints_a_part_of_a_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    shown = []
    for variable, url, command in cases():
        with monkeypatch.context() as patch:
            patch.setenv(variable, url)
            caplog.clear()
            result = CliRunner().invoke(main, command.split())
        printed = result.output + caplog.text + repr(result.exception)
        lines = [
            one for one in result.output.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", one)
        ]  # of a log
        in_a_line = isinstance(result.exception, SystemExit) and len(lines) == 1
        if not in_a_line or any(part in printed for part in PARTS):
            shown.append((url, command, printed))

    assert shown == []


def test_every_secret_is_known_here() -> None:
    secrets = {
        settings.variables()[name]
        for settings in all_settings()
        for name, field in settings.model_fields.items()
        if field.annotation is SecretStr
    }

    assert secrets <= {*OTHERS, "POSTGRES_URL", "REDIS_URL"}


def test_no_command_prints_a_part_of_another_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for variable, value in OTHERS.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("POSTGRES_URL", "postgresql://user:Hush1Hush2@127.0.0.1:1/txnwatch")
    monkeypatch.setenv("REDIS_URL", "redis://:Hush1Hush2@127.0.0.1:1/0")
    shown = []
    for command in commands(main):
        if command not in SERVING:
            result = CliRunner().invoke(main, command.split())
            printed = result.output + caplog.text + repr(result.exception)
            if any(part in printed for part in PARTS):
                shown.append((command, printed))

    assert shown == []


@pytest.mark.parametrize(
    "arguments",
    [["txnwatch", "api"], ["faust", "-A", "stream_app.app", "worker", "-l", "info"]],
    ids=" ".join,
)
def test_no_program_prints_a_part_of_a_password(arguments: list[str]) -> None:
    """As processes, since what Faust and uvloop print goes past Python's streams."""
    name, *rest = arguments
    url = next(url for url in POSTGRES if "@Hush2" in url)
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *rest],
        env={**os.environ, "POSTGRES_URL": url, "REDIS_URL": "redis://:Hush1/Hush2@127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "Hush" not in done.stdout + done.stderr
    assert "POSTGRES_URL: write @ as %40" in done.stderr
    assert "Traceback" not in done.stderr
