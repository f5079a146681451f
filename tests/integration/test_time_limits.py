"""Tests that hang are failed, say where, and end a session in which several do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source import ROOT

pytestmark = pytest.mark.slow

CONFTEST = """
from tests.support.time_limits import TimeLimits

def pytest_configure(config):
    config.pluginmanager.register(TimeLimits(tear_down=3, again=1, grace={grace}))
"""
HANGING = """
import asyncio
import contextlib
import time
import pytest

@pytest.fixture
async def never_torn_down():
    yield
    await asyncio.Event().wait()

async def something_that_never_happens():
    await asyncio.Event().wait()

async def test_that_awaits():
    await asyncio.create_task(something_that_never_happens(), name="somebody")

async def test_that_fails_and_is_never_torn_down(never_torn_down):
    assert False, "a failure"

async def test_that_swallows_what_ends_it():
    def swallow():
        with contextlib.suppress(BaseException):
            time.sleep(3600)
    asyncio.get_running_loop().call_soon(swallow)
    await something_that_never_happens()

def test_that_is_not_reached():
    pass
"""
DEAF = """
import signal
import time
import pytest

def test_that_no_signal_reaches():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(3600)

def test_that_passes():
    pass
"""


def session(folder: Path, tests: str, *options: str, grace: int) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST.format(grace=grace))
    (folder / "test_these.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", "--timeout", "3", *options, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout + ended.stderr


def test_three_that_hang_say_where_and_end_the_session(tmp_path: Path) -> None:
    code, output = session(tmp_path, HANGING, grace=60)

    assert code == pytest.ExitCode.TESTS_FAILED
    assert output.count("not done after 3 s (Timeout)") >= 3
    [awaited] = re.findall(r"somebody awaits:\n.*something_that_never_happens\n.* Event.wait\n", output)
    [torn_down] = re.findall(r"async_finalizer\n.*test_these.py:10 never_torn_down\n.* Event.wait\n", output)
    assert awaited != torn_down
    assert "3 failed, 1 error" in output
    assert "3 tests took too long, so all may: test_these.py::test_that_awaits, " in output
    assert "not_reached" not in output


def test_one_that_cannot_be_failed_ends_its_process_alone(tmp_path: Path) -> None:
    code, output = session(tmp_path, DEAF, "--numprocesses", "1", grace=1)

    assert code == pytest.ExitCode.TESTS_FAILED
    assert "in test_that_no_signal_reaches" in output
    assert "crashed while running 'test_these.py::test_that_no_signal_reaches'" in output
    assert "1 failed, 1 passed" in output
