"""The demo as a person runs it: it shows traffic and flags, survives a killed worker, leaves nothing."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import psutil
import pytest

from tests.support.services import embedded_datadir
from tests.support.source import ROOT

PATIENCE_SECONDS = 90
COUNTS = r"[\d,]+ scored +[\d,]+/s"
FLAG = (
    r"flag: \w{3} [\d,.]+ is [\d.]+ times this user's mean of \w{3} [\d,.]+ over \d+ transactions "
    r"\(user [0-9a-f]{8}-"
)


class Screen:
    """A command's output, line by line, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines: Queue[str] = Queue()
        self._seen: list[str] = []
        self._reader = Thread(target=self._read, args=[process.stdout], daemon=True)
        self._reader.start()

    def _read(self, output: Iterator[str]) -> None:
        for line in output:
            self._lines.put(line)

    def until(self, pattern: str) -> re.Match[str]:
        """The next line that matches."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_SECONDS)
            except Empty:
                pytest.fail(f"no line like {pattern!r} after:\n{''.join(self._seen)}")
            self._seen.append(line)
            if match := re.search(pattern, line):
                return match

    def close(self) -> None:
        """Wait for the output's end."""
        self._reader.join(PATIENCE_SECONDS)


def demo(datadir: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("txnwatch"), "demo", "--datadir", datadir, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def started_in(datadir: Path) -> list[str]:
    """The command lines of processes that have the data folder in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(datadir) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_the_demo_shows_flags_survives_a_killed_worker_and_leaves_nothing_running() -> None:
    with embedded_datadir() as datadir:
        with demo(datadir, "--rate", "300") as process:
            try:
                screen = Screen(process)
                screen.until(r"API +http://127\.0\.0\.1:\d+")
                worker = int(screen.until(r"kill -9 (\d+)").group(1))
                screen.until(COUNTS)
                screen.until(FLAG)
                psutil.Process(worker).kill()
                screen.until(r"worker ended \(killed by SIGKILL\): started again")
                screen.until(COUNTS)
                process.send_signal(signal.SIGINT)
                screen.until("everything has stopped")
                assert process.wait(PATIENCE_SECONDS) == 0
                screen.close()
            finally:
                process.kill()
        assert started_in(datadir) == []


def test_the_readme_shows_what_the_demo_shows() -> None:
    shown = re.findall(r"^ {4}(.*(?:scored|flag:).*)$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert [bool(re.search(pattern, line)) for pattern, line in zip((COUNTS, FLAG), shown, strict=True)] == [
        True,
        True,
    ]


def test_a_file_that_is_not_there_is_named() -> None:
    with demo(Path("unused"), "--data", "no-such-file.csv") as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 2
    assert "no-such-file.csv" in output
