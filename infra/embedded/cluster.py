"""The three services of a data folder: started, found running, stopped."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from infra.embedded import processes
from infra.embedded.kafka import Kafka
from infra.embedded.postgres import Postgres
from infra.embedded.server import Report, Server
from infra.embedded.state import STATE_FILE, State, locked
from infra.embedded.valkey import Valkey

_KINDS: tuple[type[Server], ...] = (Kafka, Postgres, Valkey)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three services are reached."""

    kafka: str
    postgres: str
    redis: str

    def as_env(self) -> dict[str, str]:
        """The settings that every command of txnwatch reads."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.kafka, "POSTGRES_URL": self.postgres, "REDIS_URL": self.redis}


@dataclass(frozen=True, slots=True)
class Status:
    """One service as it is now; `pid` is None when it does not run."""

    pid: int | None
    answers: bool
    address: str


def silent(line: str) -> None:
    """Report nothing."""


def up(datadir: Path, report: Report = silent) -> Addresses:
    """Start what does not run yet; return when all three answer, and leave them running.

    Raises:
        ServiceError: One of them did not come up. What this call started is stopped again.
    """
    datadir = datadir.resolve()
    (datadir / "logs").mkdir(parents=True, exist_ok=True)
    with locked(datadir):
        state = State.load(datadir)
        servers = _servers(datadir, state)
        starting = [server for server in servers if _process(server, state) is None]
        try:
            _start(starting, state, report)
            _wait_until_all_answer(servers, state, report)
        except BaseException:
            # After a Ctrl-C too, no half of the set stays behind.
            _stop(starting, state)
            raise
    return Addresses(**{server.role: server.address for server in servers})


def down(datadir: Path, report: Report = silent, *, patience: float = math.inf) -> None:
    """Stop what runs of the three, within about 40 seconds; kill what takes longer than `patience`."""
    datadir = datadir.resolve()
    if not (datadir / STATE_FILE).exists():
        report("nothing was running")
        return
    with locked(datadir):
        state = State.load(datadir)
        stopped = _stop(_servers(datadir, state), state, patience)
    report("stopped " + ", ".join(stopped) if stopped else "nothing was running")


def not_running(datadir: Path) -> list[str]:
    """The names of the services that do not run."""
    state = State.load(datadir.resolve())
    return [one.name for one in _servers(datadir.resolve(), state) if _process(one, state) is None]


def status(datadir: Path) -> dict[str, Status]:
    """Each service by name."""
    datadir = datadir.resolve()
    state = State.load(datadir)
    return {server.name: _status(server, state) for server in _servers(datadir, state)}


def _servers(datadir: Path, state: State) -> list[Server]:
    return [kind(datadir / kind.name, datadir / "logs" / f"{kind.name}.log", state.ports) for kind in _KINDS]


def _start(servers: Sequence[Server], state: State, report: Report) -> None:
    if not servers:
        return
    report("starting " + ", ".join(server.name for server in servers))
    for name in (name for server in servers for name in server.port_names):
        state.choose_port(name)
    for server in servers:
        # Not in a thread: a Ctrl-C has to end a long download at once.
        server.fetch(report)
    with ThreadPoolExecutor(len(servers)) as pool:
        prepared = list(pool.map(lambda server: server.prepare(report), servers))
    for server, argv in zip(servers, prepared, strict=True):
        state.pids[server.name] = processes.start(argv, server.folder, server.log, server.account)
        # Saved at once, so that it is found again whatever happens next.
        state.save()


def _wait_until_all_answer(servers: Sequence[Server], state: State, report: Report) -> None:
    """Ask all in turn, so that one that ends is noticed while a slow one still starts."""
    began = time.monotonic()
    waiting = list(servers)
    while waiting:
        for server in list(waiting):
            if server.answers():
                report(f"{server.name} answers at {server.address}")
                waiting.remove(server)
            else:
                _check_that_it_starts(server, state, time.monotonic() - began)
        time.sleep(processes.POLL_SECONDS)


def _check_that_it_starts(server: Server, state: State, waited: float) -> None:
    if _process(server, state) is None:
        raise processes.failure(server.name, "ended while starting", server.log)
    if waited > server.start_seconds:
        what = f"did not answer within {server.start_seconds:.0f} s"
        raise processes.failure(server.name, what, server.log)


def _stop(servers: Sequence[Server], state: State, patience: float = math.inf) -> list[str]:
    """Stop them at the same time; the names of those that ran."""
    running = [(server, process) for server in servers if (process := _process(server, state))]
    with ThreadPoolExecutor(len(_KINDS)) as pool:
        list(pool.map(partial(_end, patience), running))
    for server in servers:
        state.pids.pop(server.name, None)
    state.save()
    return [server.name for server, _process in running]


def _end(patience: float, running: tuple[Server, psutil.Process]) -> None:
    server, process = running
    processes.stop(process, server.stop_signal, min(server.stop_seconds, patience))
    server.tidy()


def _process(server: Server, state: State) -> psutil.Process | None:
    return processes.find(state.pids.get(server.name), server.marker)


def _status(server: Server, state: State) -> Status:
    process = _process(server, state)
    pid = None if process is None else process.pid
    return Status(pid, answers=process is not None and server.answers(), address=server.address)
