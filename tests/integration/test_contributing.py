"""CONTRIBUTING.md's detector, added to a copy of the checkout as it is written there."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import VENV, copied, environment
from tests.support.documents import blocks, section
from tests.support.services import embedded_datadir

SECTION = section("CONTRIBUTING.md", "Your own detector in ten minutes")
FILE, TEST = re.findall(r"`(\S+above_largest\.py)`", SECTION)[:2]
THIS = "tests/integration/test_contributing.py"
SECONDS = 120


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project with the blocks of the section applied, as far as it has them not yet."""
    folder = copied(tmp_path)
    for path, code in zip((FILE, TEST), blocks(SECTION, "python"), strict=True):
        (folder / path).write_text(code)
    [change] = blocks(SECTION, "diff")
    before, line = change.splitlines(keepends=True)
    assert (before[0], line[0]) == (" ", "+")
    registry = folder / re.findall(r"`(\S+__init__\.py)`", SECTION)[0]
    text = registry.read_text()
    assert text.count(before[1:]) == 1
    if line[1:] not in text:
        registry.write_text(text.replace(before[1:], before[1:] + line[1:]))
    return folder


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
    """So whoever has followed the section passes `make test`, of which this module's quick test is a part."""
    for command in commands("pytest"):
        subprocess.run(shlex.split(command), cwd=checkout, env=environment(checkout), check=True)

    for arguments in (
        ["mypy", "stream_app", "schemas", TEST],
        ["pytest", "-q", "-m", "not slow", "tests/unit", "tests/pipeline", THIS],
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
