"""CONTRIBUTING.md's detector, added to a copy of the checkout as it is written there."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import blocks, section
from tests.support.services import embedded_datadir
from tests.support.source import ROOT

SECTION = section("CONTRIBUTING.md", "Your own detector in ten minutes")
FILE, TEST = re.findall(r"`(\S+above_largest\.py)`", SECTION)[:2]
VENV = Path(sys.executable).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".env",
    ".txnwatch",
    ".bench",
    ".*_cache",
    "__pycache__",
    ".hypothesis",
    "node_modules",
    "*.egg-info",
)
SECONDS = 120


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project with the blocks of the section applied."""
    folder = tmp_path / "txnwatch"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    (folder / ".venv").symlink_to(VENV)
    for path, code in zip((FILE, TEST), blocks(SECTION, "python"), strict=True):
        (folder / path).write_text(code)
    [change] = blocks(SECTION, "diff")
    registry = folder / re.findall(r"`(\S+__init__\.py)`", SECTION)[0]
    before, after = (without(change, sign) for sign in "+-")
    assert registry.read_text().count(before) == 1
    registry.write_text(registry.read_text().replace(before, after))
    return folder


def without(change: str, sign: str) -> str:
    """The text of a diff, less the lines with this sign."""
    return "".join(line[1:] for line in change.splitlines(keepends=True) if not line.startswith(sign))


def environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}


def commands(program: str) -> Iterator[str]:
    for line in blocks(SECTION, "sh")[0].splitlines():
        if program in line:
            yield line


def test_its_steps_work_as_they_are_written(checkout: Path) -> None:
    for command in commands("pytest"):
        subprocess.run(shlex.split(command), cwd=checkout, env=environment(checkout), check=True)

    published = json.loads((checkout / "schemas" / "scored.schema.json").read_text())
    assert "above_largest" in json.dumps(published)
    assert "TXNWATCH_LARGEST_TIMES" in (checkout / "docs" / "settings.md").read_text()
    subprocess.run([VENV / "bin" / "ruff", "check", "--no-cache", FILE, TEST], cwd=checkout, check=True)


@pytest.mark.slow
def test_every_other_test_and_the_types_hold_with_it(checkout: Path) -> None:
    for command in commands("pytest"):
        subprocess.run(shlex.split(command), cwd=checkout, env=environment(checkout), check=True)

    for arguments in (
        ["mypy", "stream_app", "schemas", TEST],
        ["pytest", "-q", "tests/unit", "tests/pipeline"],
    ):
        argv = [sys.executable, "-m", *arguments]
        subprocess.run(argv, cwd=checkout, env=environment(checkout), check=True)


@pytest.mark.slow
def test_the_demo_flags_by_it(checkout: Path) -> None:
    [command] = commands("make demo")
    *variables, make, target = shlex.split(command)
    (checkout / ".venv" / ".installed").touch()
    with embedded_datadir() as datadir:
        process = subprocess.Popen(
            [make, target, f"ARGS=--datadir {datadir}"],
            cwd=checkout,
            env=environment(checkout) | dict(one.split("=") for one in variables),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = next(line for line in process.stdout if "flag:" in line)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)

    assert re.search(r"is above .*, for a user whose largest was ", line)
