"""A session of tests that a signal ends leaves nothing running."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 120
# Under nohup a process ignores SIGHUP, in the background of a script SIGINT, and so does what it starts.
HEEDING = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
SESSION = """
import asyncio, contextlib, json, os, subprocess, sys, tempfile, time
from pathlib import Path
from threading import Thread

import pytest

from infra.embedded import cluster
from infra.embedded.state import State
from tests.support.ending import run_to_its_end
from tests.support.services import embedded_datadir

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def services():
    with embedded_datadir() as datadir:
        cluster.up(datadir)
        yield datadir, [status.pid for status in cluster.status(datadir).values()]


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def begun(services, child):
    datadir, pids = services
    (HERE / "new").write_text(json.dumps({"datadir": str(datadir), "pids": [*pids, child]}))
    (HERE / "new").rename(HERE / "begun")


async def test_that_awaits(services, child):
    begun(services, child)
    await asyncio.Event().wait()


async def test_that_swallows_it(services, child):
    begun(services, child)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def test_that_swallows_it_is_followed_by_one():
    time.sleep(3600)


def test_that_sleeps(services, child):
    begun(services, child)
    time.sleep(3600)


def test_that_measures():
    with tempfile.TemporaryDirectory(prefix="txnwatch-") as folder:
        Path(folder).chmod(0o755)
        Thread(target=await_services, args=[Path(folder)], daemon=True).start()
        command = [sys.executable, "-m", "benchmarks", "query", "--quick", "--output", HERE]
        run_to_its_end(command, env={**os.environ, "TMPDIR": folder})


def await_services(folder):
    while True:
        for datadir in folder.glob("txnwatch-bench-*/services"):
            *pids, last = State.load(datadir).pids.values() or [0]
            if len(pids) == 2:
                return begun((datadir, pids), last)
        time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("ending", "test"),
    [
        (signal.SIGTERM, "test_that_awaits"),
        pytest.param(signal.SIGTERM, "test_that_swallows_it", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, "test_that_sleeps", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "test_that_measures", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_session_and_all_that_it_started(
    ending: signal.Signals, test: str, tmp_path: Path
) -> None:
    (tmp_path / "test_session.py").write_text(SESSION)
    command = [sys.executable, "-c", HEEDING, "-m", "pytest", "-p", "tests.conftest", "-k", test]
    command += ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    with (
        (tmp_path / "output").open("w+") as output,
        subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT) as session,
    ):
        try:
            started: dict[str, Any] = json.loads(text_of(tmp_path / "begun", session))
        except BaseException:
            session.kill()  # left to itself it is waited for without end
            raise
        processes = [psutil.Process(pid) for pid in started["pids"]]
        processes += [child for process in processes for child in process.children(recursive=True)]

        # `timeout` sends its signal twice; a second Ctrl-C says that nothing is to be stopped any more.
        for _ in range(1 if ending == signal.SIGINT else 2):
            session.send_signal(ending)
        session.wait(SECONDS)

        assert session.returncode == pytest.ExitCode.INTERRUPTED, (tmp_path / "output").read_text()
    assert len(processes) > 4
    assert [process for process in processes if runs(process)] == []
    assert not Path(started["datadir"]).exists()


def text_of(path: Path, session: "subprocess.Popen[bytes]") -> str:
    """The file's text as soon as it is there; fails where the session has ended without writing it."""
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert session.poll() is None, (path.parent / "output").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path.read_text()


def runs(process: psutil.Process) -> bool:
    """Whether the process goes on; one that has ended can be there until its parent asks for its code."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
