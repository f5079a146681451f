"""What the embedded services do about processes and files that are not theirs, without starting any."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.embedded import cluster, processes, state
from infra.embedded.processes import ServiceError


def test_down_where_nothing_was_ever_started_does_nothing(tmp_path: Path) -> None:
    cluster.down(tmp_path / "absent")

    assert list(tmp_path.iterdir()) == []


def test_down_spares_a_process_that_got_the_pid_of_an_ended_server(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        saved = {"ports": {}, "pids": dict.fromkeys(("kafka", "postgres", "valkey"), stranger.pid)}
        (tmp_path / "services.json").write_text(json.dumps(saved))

        cluster.down(tmp_path)

        assert stranger.poll() is None
        assert {found.pid for found in cluster.status(tmp_path).values()} == {None}


def test_a_state_file_that_is_not_ours_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{}")

    with pytest.raises(ServiceError, match=r"services\.json cannot be read"):
        cluster.up(tmp_path)


def test_a_process_that_ignores_its_signal_is_killed_in_bounded_time() -> None:
    stubborn = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", stubborn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()

        processes.stop(psutil.Process(process.pid), signal.SIGTERM, patience=0.3)

        assert time.monotonic() - began < 3
        assert not psutil.pid_exists(process.pid)


def test_a_program_started_this_moment_is_found_though_it_has_no_arguments_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the start of a program and its arguments, the kernel shows none."""
    true = psutil.Process.cmdline
    shown: list[list[str]] = [[], []]
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: shown.pop() if shown else true(self))
    with subprocess.Popen([sys.executable, "-c", "input()", "marker"], stdin=subprocess.PIPE) as server:
        found = processes.find(server.pid, "marker")

        assert found is not None
        assert shown == []
        server.communicate(b"\n")


def test_a_data_folder_that_another_command_holds_for_long_is_an_error_that_names_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_LOCK_SECONDS", 0.1)

    held = pytest.raises(ServiceError, match=r"has held .*services\.lock")
    with state.locked(tmp_path), held, state.locked(tmp_path):
        pass
    with state.locked(tmp_path):
        pass
