"""The command `txnwatch`: put together from entry points, some of which may be missing."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import EntryPoint, version
from typing import Any

import asyncpg
import click
import pytest
from click.testing import CliRunner

from infra import cli
from infra.runtime.cli_errors import ServiceErrors, ending_in_one_line
from infra.runtime.services import KAFKA, POSTGRES


@click.command()
def working() -> None:
    """Work."""
    click.echo("worked")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points that the command finds."""
    values = {
        "working": f"{__name__}:working",
        "absent": "infra.there_is_no_such_module:command",
        "nameless": f"{__name__}:there_is_no_such_name",
        "other": f"{__name__}:EntryPoint",
    }
    points = [EntryPoint(name=name, value=value, group="txnwatch.commands") for name, value in values.items()]

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [point for point in points if point.group == group and name in {None, point.name}]

    monkeypatch.setattr(cli, "entry_points", entry_points)
    return points


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, arguments)
    return result.exit_code, result.output


@pytest.mark.usefixtures("installed")
def test_the_help_lists_the_commands_that_can_be_loaded() -> None:
    code, output = run("--help")

    assert code == 0
    assert "working  Work." in output
    assert "absent" not in output


@pytest.mark.usefixtures("installed")
def test_a_command_that_can_be_loaded_runs_beside_ones_that_cannot() -> None:
    assert run("working") == (0, "worked\n")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "No module named 'infra.there_is_no_such_module'"),
        ("nameless", "has no attribute 'there_is_no_such_name'"),
        ("other", "is no command"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_why_when_it_is_called(name: str, reason: str) -> None:
    code, output = run(name, "with", "--any=option")

    assert code == 1
    assert f"{name} is not available in this installation" in output
    assert reason in output


@pytest.mark.usefixtures("installed")
def test_an_unknown_command_is_a_usage_error() -> None:
    code, output = run("nonsense")

    assert code == 2
    assert "No such command 'nonsense'" in output


def test_a_command_is_loaded_only_when_it_is_asked_for(
    installed: list[EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.append(EntryPoint(name="slow", value="antigravity:slow", group="txnwatch.commands"))
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)

    run("working")

    assert "antigravity" not in sys.modules


def test_the_version_is_the_packages() -> None:
    code, output = run("--version")

    assert code == 0
    assert output.strip().endswith(f"version {version('txnwatch')}")


def test_an_error_of_ours_is_said_whole_and_a_services_in_its_first_line() -> None:
    text = "it failed:\nthe end of its log"
    for expected, said in ((OSError, text), (ServiceErrors("Kafka", (OSError,)), "Kafka: it failed:")):
        with pytest.raises(click.ClickException) as raised, ending_in_one_line(expected):
            raise OSError(text)
        assert raised.value.message == said


async def _a_database_that_is_not_there(_port: int) -> None:
    await asyncpg.connect("postgresql://someone@127.0.0.1:1/none")


async def _a_database_that_says_nothing(port: int) -> None:
    async with asyncio.timeout(0.05):
        await asyncpg.connect(f"postgresql://someone@127.0.0.1:{port}/none")


async def _a_port_that_is_taken(port: int) -> None:
    await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", port)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (_a_database_that_is_not_there, "Postgres (POSTGRES_URL): nothing listens at its address"),
        (_a_database_that_says_nothing, "Postgres (POSTGRES_URL): it did not answer in time"),
        (_a_port_that_is_taken, "[Errno 98]"),
    ],
)
def test_whose_an_error_of_the_system_is_is_told_by_who_raised_it(
    what: Callable[[int], Coroutine[Any, Any, None]], said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(click.ClickException) as raised:  # noqa: SIM117 - the inner one raises
        with ending_in_one_line(KAFKA, POSTGRES, OSError):
            asyncio.run(what(silent.getsockname()[1]))
    assert raised.value.message.startswith(said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics"], ["produce", "--generate", "1"], ["ingest", "--mapping", "paysim", "--topic", "foreign"],
        ["mapping", "guess", "foreign"], ["dlq", "list"], ["dlq", "redrive", "--all"],
    ],
)  # fmt: skip
def test_a_certificate_that_is_not_there_is_said_in_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("TXNWATCH_KAFKA_SECURITY", "SSL")
    monkeypatch.setenv("TXNWATCH_KAFKA_CA", "/there/is/none.pem")
    code, output = run(*arguments)
    assert (code, output.splitlines()[-1]) == (
        1,
        "Error: TXNWATCH_KAFKA_CA: /there/is/none.pem: No such file or directory",
    )


def test_of_a_broker_that_is_not_there_a_command_says_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from infra.cli import main; main()", "dlq", "list"],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"Error: Kafka \(KAFKA_BOOTSTRAP_SERVERS\): 127.0.0.1:1 .*\n", done.stderr)
