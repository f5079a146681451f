"""Every command that a document names is run, as it stands there but for its ports.

Only looked at are
- make's targets, by a dry run: they install, run all tests, measure for hours, or run until they are stopped
  (tests/integration/test_demo.py runs the demo, and tests/integration/test_contributing.py `make demo`). What
  they call has to be there, and pytest has to take their options;
- pytest with folders or whole test modules, which would be this run within itself, or needs what is not ours
  (the old web client): it collects one module with the same options.

Measurements run with the least load and once; `docker compose` where there is Docker.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from infra.embedded import cluster
from tests.support.checkout import VENV, copied, environment
from tests.support.documents import blocks, commands, section
from tests.support.ending import run_to_its_end
from tests.support.services import choose, free_port
from tests.support.source import ROOT

SECONDS = 120
POLL_SECONDS = 0.1
EVERY = sorted({command.text for command in commands()})
USING = [command.text for command in commands() if command.document == "using.md"]
DETECTOR = blocks(section("CONTRIBUTING.md", "Your own detector in ten minutes"), "sh")[0]
# What each of the tests below runs; the first that fits.
GROUPS = {
    "detector": "|".join(
        re.escape(line) for line in DETECTOR.splitlines()
    ),  # tests/integration/test_contributing.py
    "package": r"pip install \./txnwatch-velocity",  # tests/integration/test_installed_detector.py
    "make": r"make .*",
    "goldens": r"(?:\.venv/bin/)?pytest .* --update-goldens",
    "pytest": r"(?:\.venv/bin/)?pytest .*",
    "report": r"(?:\.venv/bin/)?python -m benchmarks report",
    "benchmarks": r"(?:\.venv/bin/)?python -m benchmarks .*",
    "ledger": r"\.venv/bin/python -m tests\.support\.faults\.ledger .*",
    "docker": r"docker compose .*",
    # tests/integration/test_image.py; which image a tag leads to is a registry's to say.
    "image": r"docker (?:build|buildx imagetools|image|run|stop) .*",
    # tests/integration/test_topic_identity.py and test_repartition.py: no worker may run meanwhile.
    "stopped": r"txnwatch (?:state|repartition).*",
    # tests/integration/test_access_commands.py.
    "access": r"txnwatch (?:accounts|tokens|audit)(?: .*)?",  # and tests/api/test_audit.py
    # tests/integration/test_lists.py.
    "lists": r"txnwatch lists(?: .*)?",
    # tests/integration/test_labels.py and tests/api/test_labels.py.
    "labels": r"txnwatch labels .*|curl -X POST .*/label.*",
    "extras": r"pip install '?txnwatch\[[\w,]+\]'?",  # of an installation; the tests have both
    # tests/unit/test_mapping_guess.py and tests/integration/test_mapping_topic.py.
    "mapping": r"txnwatch mapping .*|txnwatch ingest .* shop\.payments .*",
    # tests/integration/test_files_of_any_kind.py.
    "files": r"txnwatch produce \S+ --mapping .*",
    "posting": r"curl .*/transactions\?wait.*",  # tests/integration/test_posting.py
    "rules": r"txnwatch rules (?:check|diff \S+) \S+",  # tests/unit/test_rule_sets.py
    # tests/integration/test_rules_commands.py.
    "deciding": r"txnwatch rules (?:apply|show|history|suppress|diff).*",
    # tests/integration/test_ingest.py and tests/unit/test_ingest_schemas.py.
    "ingest": r"txnwatch (?:ingest|dlq redrive .*--mapping).*",
    "monitoring": r"txnwatch metrics \w+(?: > \S+)?",  # tests/unit/test_monitoring.py
    "export": r"txnwatch export --to-parquet FILE",  # tests/integration/test_export.py
    "replay": r"txnwatch replay.*",  # tests/integration/test_replay_command.py
    "backtest": r"txnwatch backtest.*",  # tests/unit/test_backtest_command.py
    "demo": r"txnwatch demo(?: --data FILE)?",  # tests/integration/test_demo.py
    "full": r"txnwatch produce --generate --full",  # the same: the demo sends such
    "step by step": "|".join(re.escape(text) for text in USING if re.match(r"\.venv/bin/|curl ", text)),
}


def of(group: str) -> list[str]:
    return [text for text in EVERY if group == group_of(text)]


def group_of(text: str) -> str | None:
    return next((group for group, pattern in GROUPS.items() if re.fullmatch(pattern, text)), None)


def test_no_command_is_left_out() -> None:
    run = {text for group in GROUPS for text in of(group)}
    # A sentence may name a command by its first words alone.
    beginnings = {text for text in EVERY if any(f"{one} ".startswith(f".venv/bin/{text} ") for one in run)}

    assert [group for group in GROUPS if group != "demo" and not of(group)] == []
    assert {*EVERY} - run - beginnings == set()


# --- the step by step of docs/using.md


class Shell:
    """A folder that looks like a checkout, and the commands that go on running in it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.ports = {name: str(free_port()) for name in ("8000", "6066", "6067", "6068")}
        self._stack = stack
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TXNWATCH_")}
        self._environment = {
            **{name: value for name, value in kept.items() if not name.endswith(("_SERVERS", "_URL"))},
            "TXNWATCH_API_PORT": self.ports["8000"],
            "TXNWATCH_API_DRAIN_SECONDS": "0",
            "TXNWATCH_WEB_PORT": self.ports["6066"],
        }

    def run(self, command: str) -> None:
        """Run a command to its end; it must not fail."""
        output = self.folder / "output"
        with output.open("w") as file:
            process = subprocess.Popen(self._argv(command), **self._options(file))
        try:
            code: int | str = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "not ended"
        assert code == 0, f"{command}: {code}\n{output.read_text()}"

    def start(self, command: str) -> "subprocess.Popen[bytes]":
        """Start a command, and return once it does what it is for."""
        output = Path(tempfile.mkstemp(dir=self.folder)[1])
        with output.open("w") as file:
            process: subprocess.Popen[bytes] = subprocess.Popen(self._argv(command), **self._options(file))
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        deadline = time.monotonic() + SECONDS
        while not self._works(command, output):
            assert process.poll() is None, f"{command}\n{output.read_text()}"
            assert time.monotonic() < deadline, f"{command}\n{output.read_text()}"
            time.sleep(POLL_SECONDS)
        return process

    def _works(self, command: str, output: Path) -> bool:
        if command.startswith("curl"):
            return '"is_anomaly":true' in output.read_text()
        if " api" in command:
            return answers(f"http://127.0.0.1:{self.ports['8000']}/ready")
        if found := re.search(r"worker(?:.*--web-port (\d+))?", command):
            return answers(f"http://127.0.0.1:{self.ports[found[1] or '6066']}/table/windows/")
        return True  # what is produced is seen by curl

    def _argv(self, command: str) -> list[str]:
        line = re.sub("|".join(self.ports), lambda port: self.ports[port[0]], command.removesuffix("&"))
        return ["bash", "-c", f"exec {line}"]

    def _options(self, output: IO[str]) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self._environment, "stdout": output, "stderr": subprocess.STDOUT}


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def checkout() -> Iterator[Shell]:
    """Not in tmp_path, which other accounts, such as the database's, cannot reach."""
    folder = Path(tempfile.mkdtemp(prefix="txnwatch-"))
    (folder / ".venv").symlink_to(VENV)
    try:
        with ExitStack() as stack:
            yield Shell(folder, stack)
    finally:
        cluster.down(folder / ".txnwatch")
        shutil.rmtree(folder)


@pytest.mark.timeout(300)  # 40 commands: 60 s where nothing else runs
def test_using_txnwatch_step_by_step() -> None:
    with checkout() as shell:
        lasting: dict[str, subprocess.Popen[bytes]] = {}
        for command in of_using_in_order():
            if command.endswith("services down"):
                stop(lasting)
            if command.endswith("&") or command.startswith("curl"):
                lasting[command] = shell.start(command)
            else:
                shell.run(command)
        left = cluster.status(shell.folder / ".txnwatch")

    assert [name for name, status in left.items() if status.pid is not None] == []


def of_using_in_order() -> list[str]:
    return [text for text in USING if re.fullmatch(GROUPS["step by step"], text)]


def stop(lasting: "dict[str, subprocess.Popen[bytes]]") -> None:
    """End them all as `kill` does; ours end well."""
    for process in lasting.values():
        process.send_signal(signal.SIGTERM)
    codes = {command: process.wait(SECONDS) for command, process in lasting.items()}
    assert {command: code for command, code in codes.items() if code and "curl" not in command} == {}


# --- make, pytest


@pytest.mark.parametrize("command", of("make"))
def test_make_has_what_it_is_told_to_make(command: str) -> None:
    for line in recipe(command):
        program = line.split()[0]
        if program.startswith(".venv/bin/"):
            assert (VENV.parent / program).exists(), line


def recipe(command: str) -> list[str]:
    """The lines that make would run."""
    return subprocess.check_output([*shlex.split(command), "--dry-run"], cwd=ROOT, text=True).splitlines()


COLLECT = """
import contextlib, io, json, sys, pytest

for options in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main(options)
    print(json.dumps([code, said.getvalue()]))
"""
"""Collects with each of the lists of options: one process, since pytest takes seconds to start."""


def test_pytest_takes_the_options() -> None:
    made = [
        line for command in of("make") for line in recipe(command) if line.startswith(".venv/bin/pytest ")
    ]
    runs = [collecting(command) for command in sorted({*made, *of("pytest")})]
    argv = [sys.executable, "-c", COLLECT]
    said = subprocess.check_output(
        argv, cwd=ROOT, text=True, input=json.dumps([options for options, _ in runs])
    )

    for (options, module), line in zip(runs, said.splitlines(), strict=True):
        code, collected = json.loads(line)
        assert (code, f"{module}::" in collected) == (pytest.ExitCode.OK, True), (options, collected)


def collecting(command: str) -> tuple[list[str], str]:
    """The options of a run that only collects the tests of one module, and the module."""
    _, *options = shlex.split(command)
    folders = [option for option in options if option.startswith("tests/")]
    assert all((ROOT / folder).exists() for folder in folders)
    kept = [option for option in options if option not in folders]
    named = [folder for folder in folders if folder.endswith(".py")]
    others = "tests/clients/test_foreign_clients.py" if "clients" in options else "tests/unit/test_sizes.py"
    module = named[0] if named else others
    return ["-p", "no:cacheprovider", *kept, "--collect-only", "-q", module], module


SPOILT = {
    "tests/unit/test_goldens.py": "tests/goldens/help.txt",
    "tests/unit/test_settings_files.py": "docs/settings.md",
    "tests/unit/test_monitoring.py": "docs/alerts.md",
    "tests/unit/test_licences.py": "docs/licences.md",
}
"""A file that the tests of a module write again."""


@pytest.mark.parametrize("command", of("goldens"))
def test_what_is_kept_is_written_again(command: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    [kept] = [path for module, path in SPOILT.items() if module in command]
    (folder / kept).write_text((ROOT / kept).read_text() + "spoilt\n")

    subprocess.run(shlex.split(command), cwd=folder, env=environment(folder), check=True)

    assert (folder / kept).read_text() == (ROOT / kept).read_text()


# --- measuring


@pytest.mark.parametrize("command", of("ledger"))
def test_the_ledger_of_faults_is_written_into_its_document(command: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "guarantees.md"
    page.write_text(before := (ROOT / "docs" / "guarantees.md").read_text())
    (tmp_path / "faults.jsonl").touch()
    (tmp_path / ".venv").symlink_to(VENV)

    subprocess.run(
        shlex.split(command), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )

    assert page.read_text() != before  # of no faults, the table is empty


@pytest.mark.slow
@pytest.mark.parametrize("command", of("report"))
def test_the_page_of_measurements_is_written_with_its_plots(command: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    kept, docs = ROOT / "docs", tmp_path / "docs"
    _, *arguments = shlex.split(command)
    folders = ["--output", str(kept / "benchmarks"), "--docs", str(docs)]

    subprocess.run([sys.executable, *arguments, *folders], cwd=ROOT, check=True)

    assert names(docs / "benchmarks") == names(kept / "benchmarks")
    assert all("</svg>" in path.read_text() for path in (docs / "benchmarks").glob("*.svg"))
    assert (docs / "benchmarks.md").read_text() == (kept / "benchmarks.md").read_text()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", of("benchmarks"))
def test_what_is_measured_can_be_measured_again(command: str, tmp_path: Path) -> None:
    options = ["--output", str(tmp_path), "--quick", "--rounds", "1"]
    _, *arguments = shlex.split(command)

    run_to_its_end([sys.executable, *arguments, *options], cwd=ROOT)

    assert [*tmp_path.glob("*.json")]


@pytest.mark.slow
def test_compose_brings_everything_up() -> None:
    if choose() != "containers":
        pytest.skip("no Docker engine answers")
    try:
        for command in of("docker"):
            subprocess.run(shlex.split(command), cwd=ROOT, check=True)
        deadline = time.monotonic() + SECONDS
        while not answers("http://127.0.0.1:8000/ready"):
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
    finally:
        file = ROOT / "docker-compose.kafka.yml"
        subprocess.run(["docker", "compose", "-f", file, "down", "--volumes"], check=True)
