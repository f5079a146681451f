"""`.ci/run`, on a small project of its own with the real make and pytest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.source import ROOT

MAKEFILE = """
lint:
test:
\t{python} -m pytest $(ARGS)
"""
TESTS = """
import pathlib

import pytest
import yaml


@pytest.mark.parametrize("name", ["a b", "c"])
def test_that_fails_once(name):
    there = pathlib.Path(name)
    assert there.exists() or there.write_text("") is None and False


def test_that_passes():
    pass
"""
FAILING = """

def test_that_always_fails():
    assert False
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout whose tests are few."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "Makefile").write_text(MAKEFILE.format(python=sys.executable))
    (tmp_path / "bin").mkdir()
    for tool in ("chromium", "npm"):
        (tmp_path / "bin" / tool).touch(mode=0o755)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra\n")
    return tmp_path


def ran(project: Path, tests: str) -> tuple[int, list[str]]:
    (project / "test_few.py").write_text(tests)
    return ci(project, PATH=f"{project / 'bin'}:{os.environ['PATH']}")


def ci(project: Path, **environment: str) -> tuple[int, list[str]]:
    # With a Chromium to be found it installs none; without plugins pytest starts in a fraction of the time.
    # Under `make test` this is a make within a make: it would say so on its last line, and take our ARGS.
    outer = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
    own = {name: value for name, value in os.environ.items() if name not in outer}
    environment = {**own, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    found = subprocess.run(
        [project / ".ci" / "run"],
        check=False,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return found.returncode, found.stdout.splitlines()


def test_what_passed_only_at_the_second_run_is_named_at_the_end(project: Path) -> None:
    code, lines = ran(project, TESTS)

    assert code == 0, lines
    block = lines[lines.index("=== passed only at the second run: 2") :]
    assert block[1:3] == ["test_few.py::test_that_fails_once[a b]", "test_few.py::test_that_fails_once[c]"]
    assert ["2 failed, 1 passed" in block[-2], "2 passed" in block[-1]] == [True, True]
    assert len(block) == 6


def test_what_fails_twice_fails_and_is_not_named_among_them(project: Path) -> None:
    code, lines = ran(project, TESTS + FAILING)

    assert code != 0
    assert "=== passed only at the second run: 2" in lines
    assert not any("always" in line for line in lines[lines.index("=== passed only at the second run: 2") :])
    assert "1 failed, 2 passed" in lines[-1]


def test_where_all_passes_at_once_there_is_no_second_run(project: Path) -> None:
    code, lines = ran(project, "def test_that_passes():\n    pass\n")

    assert code == 0
    assert "1 passed" in lines[-1]
    assert not any("second run" in line for line in lines)


ENDED_EARLY = """

def test_that_ends_the_session(request):
    request.session.shouldfail = "three hang"
"""


@pytest.mark.parametrize(
    ("tests", "limit"), [(TESTS + ENDED_EARLY, "1m"), ("import time\n\ntime.sleep(3600)\n", "1s")]
)
def test_where_not_all_tests_were_run_it_fails_without_a_second_run(
    project: Path, tests: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_LIMIT", limit)

    code, lines = ran(project, tests)

    assert (code, lines[-1]) == (1, "=== not all tests were run: there is no second run")


def test_tests_that_cannot_be_read_fail(project: Path) -> None:
    code, _ = ran(project, "import there_is_no_such_module\n")

    assert code != 0


def test_without_npm_nothing_is_run_and_it_fails(project: Path) -> None:
    (project / "bin" / "npm").unlink()
    for tool in ("bash", "dirname"):
        (project / "bin" / tool).symlink_to(str(shutil.which(tool)))

    code, lines = ci(project, PATH=str(project / "bin"))

    assert code == 1
    assert lines == ["npm is not installed: the dashboard's JavaScript could not be checked"]


def test_the_hooks_of_pre_commit_run_what_make_lint_runs() -> None:
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removesuffix(" --fix") for hook in repository["hooks"]]
    recipe = subprocess.check_output(["make", "--dry-run", "lint"], cwd=ROOT, text=True)

    tools = {" ".join(line.split()[:2]) for line in recipe.splitlines() if line.startswith(".venv/bin/")}
    assert sorted(entries) == sorted(tool.removesuffix(" .") for tool in tools)
