"""Servers that outlive the command that started them, found again and stopped by pid."""

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from pwd import struct_passwd
from typing import Any

import psutil

POLL_SECONDS = 0.05
_ARGUMENTS_SECONDS = 1.0
_TAIL_LINES = 15
_TAIL_COLUMNS = 160

# Servers do not inherit the caller's environment: PGHOST, JAVA_TOOL_OPTIONS and the like would change how
# they run, and secrets in it could get into their logs.
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


class ServiceError(Exception):
    """A service cannot be started or stopped; the message is for a person and fits a screen."""


def start(argv: Sequence[str], folder: Path, log: Path, account: struct_passwd | None = None) -> int:
    """Start a server in a session of its own, its output appended to its log; its pid."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, start_new_session=True, **_options(folder, account)
        )
    # Popen warns of a child that it has not waited for. This one outlives us, and psutil waits for it.
    process.returncode = 0
    return process.pid


def find(pid: int | None, marker: str) -> psutil.Process | None:
    """The running process with this pid if `marker` is among its arguments; None if the pid is another's now.

    The arguments are compared because the time of creation changes with the system's clock.
    """
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        return process if marker in _arguments(process) else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _arguments(process: psutil.Process) -> list[str]:
    """The process's arguments; the kernel shows none of a program that has just been started."""
    deadline = time.monotonic() + _ARGUMENTS_SECONDS
    while not (arguments := process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:  # one of the kernel's own, which never has any
            break
        time.sleep(POLL_SECONDS)
    return arguments


def stop(process: psutil.Process, with_signal: signal.Signals, patience: float) -> None:
    """End the process: the signal first, SIGKILL after `patience` seconds. Gone when this returns."""
    try:
        process.send_signal(with_signal)
        _wait(process, patience)
    except psutil.TimeoutExpired:
        process.kill()
        _wait(process, patience)
    except psutil.NoSuchProcess:
        return


def _wait(process: psutil.Process, patience: float) -> None:
    """Wait for the end; a zombie, which its parent has not waited for, has ended too."""
    deadline = time.monotonic() + patience
    while True:
        try:
            process.wait(POLL_SECONDS)
        except psutil.TimeoutExpired:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            if time.monotonic() > deadline:
                raise
        else:
            return


def run(
    name: str,
    argv: Sequence[str],
    folder: Path,
    log: Path,
    *,
    account: struct_passwd | None = None,
    given: bytes = b"",
) -> None:
    """Run a preparing command to its end, `given` on its input, its output appended to the log.

    Raises:
        ServiceError: It failed; with the log's tail.
    """
    with log.open("ab") as output:
        result = subprocess.run(argv, input=given, stdout=output, check=False, **_options(folder, account))
    if result.returncode != 0:
        raise failure(name, f"could not be set up (exit code {result.returncode})", log)


def failure(name: str, what: str, log: Path) -> ServiceError:
    """An error of what happened, the end of the log and the path of the log."""
    return ServiceError(f"{name} {what}. The end of its log:\n\n{_tail(log)}\n\nThe whole log: {log}")


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError as error:
        return f"  (the log cannot be read: {error})"
    return "\n".join(f"  {line[:_TAIL_COLUMNS]}" for line in lines) or "  (the log is empty)"


def _options(folder: Path, account: struct_passwd | None) -> dict[str, Any]:
    options: dict[str, Any] = {"cwd": folder, "env": ENVIRONMENT, "stderr": subprocess.STDOUT}
    if account is not None:
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return options
