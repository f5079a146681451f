"""Processes of a measurement: started together, watched, stopped by pid with all that they started."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 30
POLL_SECONDS = 0.1
TAIL_LINES = 15


class EndedError(RuntimeError):
    """A process ended while it was to run; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, what to add to the environment, and where its output goes."""

    arguments: list[str | Path]
    environment: Mapping[str, str]
    log: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in its log's folder: no `.env` is there, and no setting of the caller's reaches it."""
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self.arguments,
                cwd=self.log.parent,
                env={**_inherited(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@dataclass(slots=True)
class Running:
    """Processes that run, in the order of their commands."""

    commands: list[Command]
    processes: list[subprocess.Popen[bytes]]

    def cpu_seconds(self) -> float:
        """User and system time of the processes and their children so far."""
        times = [process.cpu_times() for process in self._all()]
        return sum(spent.user + spent.system for spent in times)

    def memory_bytes(self) -> int:
        """Resident memory of the processes and their children."""
        return sum(process.memory_info().rss for process in self._all())

    def check(self) -> None:
        """EndedError when one has ended."""
        for command, process in zip(self.commands, self.processes, strict=True):
            if process.poll() is not None:
                raise EndedError(f"ended with {process.returncode}:\n{tail(command.log)}")

    async def finish(self) -> None:
        """Wait until all have ended; EndedError when one failed."""
        for command, process in zip(self.commands, self.processes, strict=True):
            while process.poll() is None:  # noqa: ASYNC110 - Popen has no event
                await asyncio.sleep(POLL_SECONDS)
            if process.returncode:
                raise EndedError(f"ended with {process.returncode}:\n{tail(command.log)}")

    def kill(self) -> None:
        """SIGKILL, as a machine that fails would end them."""
        for process in self.processes:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """SIGTERM to all; SIGKILL to what is left of them after a while. All are gone on return."""
        family = _families(self.processes)
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        for process in self.processes:
            process.wait()
        while any(map(_runs, family)):
            time.sleep(POLL_SECONDS)

    def _all(self) -> list[psutil.Process]:
        self.check()
        return _families(self.processes)


@contextmanager
def running(*commands: Command) -> Iterator[Running]:
    """The commands' processes while the block runs."""
    started = Running(list(commands), [])
    try:
        for command in commands:
            started.processes.append(command.start())
        yield started
    finally:
        started.stop()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _families(processes: list[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    family = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family += [parent, *parent.children(recursive=True)]
    return family


def _runs(process: psutil.Process) -> bool:
    """Whether it is still there; a zombie is not, which only its own parent can collect."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _inherited() -> dict[str, str]:
    ours = ("TXNWATCH_", "PEER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
