"""The three services of one data folder: started, found running, stopped."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.embedded import processes
from infra.embedded.kafka import Kafka
from infra.embedded.postgres import Postgres
from infra.embedded.service import Report, Service
from infra.embedded.state import State, locked
from infra.embedded.valkey import Valkey

_KINDS: tuple[type[Service], ...] = (Kafka, Postgres, Valkey)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three services are reached."""

    kafka: str
    postgres: str
    redis: str

    def as_env(self) -> dict[str, str]:
        """The settings that every command of txnwatch reads."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "POSTGRES_URL": self.postgres,
            "REDIS_URL": self.redis,
        }


@dataclass(frozen=True, slots=True)
class Status:
    """One service as it is now; `pid` is None when it does not run."""

    pid: int | None
    answers: bool
    address: str
    log: Path


def silent(line: str) -> None:
    """Report nothing."""


def up(datadir: Path, report: Report = silent) -> Addresses:
    """Start what does not run yet; return when all three answer, and leave them running.

    Raises:
        ServiceError: One of them did not come up. What this call started is stopped again.
    """
    datadir = datadir.resolve()
    (datadir / "logs").mkdir(parents=True, exist_ok=True)
    with locked(_lock_file(datadir)):
        state = State.load(_state_file(datadir))
        stopped = _choose_ports(datadir, state)
        services = _services(datadir, state)
        starting = [service for service in services if service.name in stopped]
        try:
            _start(starting, state, report)
            _wait_until_all_answer(services, state, report)
        except BaseException:
            # A Ctrl-C here must not leave half a set behind either.
            _stop(starting, state)
            raise
    return Addresses(**{service.role: service.address for service in services})


def down(datadir: Path, report: Report = silent) -> None:
    """Stop what runs of the three, in at most some 40 seconds; nothing to do is fine."""
    datadir = datadir.resolve()
    if not _state_file(datadir).exists():
        report("nothing was running")
        return
    with locked(_lock_file(datadir)):
        state = State.load(_state_file(datadir))
        stopped = _stop(_services(datadir, state), state)
    report("stopped " + ", ".join(stopped) if stopped else "nothing was running")


def status(datadir: Path) -> dict[str, Status]:
    """Each service by name."""
    datadir = datadir.resolve()
    state = State.load(_state_file(datadir))
    return {service.name: _status(service, state) for service in _services(datadir, state)}


def _services(datadir: Path, state: State) -> list[Service]:
    logs = datadir / "logs"
    return [
        kind(
            folder=datadir / kind.name,
            log=logs / f"{kind.name}.log",
            ports={name: state.ports.get(name, 0) for name in kind.port_names},
        )
        for kind in _KINDS
    ]


def _choose_ports(datadir: Path, state: State) -> set[str]:
    """Choose the ports of the services that do not run; the names of those services."""
    stopped = [service for service in _services(datadir, state) if _process(service, state) is None]
    for name in (name for service in stopped for name in service.port_names):
        state.port(name)
    return {service.name for service in stopped}


def _start(services: Sequence[Service], state: State, report: Report) -> None:
    if not services:
        return
    report("starting " + ", ".join(service.name for service in services))
    for service in services:
        # Not in a thread: a Ctrl-C is to end a long download at once.
        service.fetch(report)
    with ThreadPoolExecutor(len(services)) as pool:
        prepared = list(pool.map(lambda service: service.prepare(report), services))
    for service, argv in zip(services, prepared, strict=True):
        state.pids[service.name] = processes.start(argv, service.folder, service.log, service.account)
        # At once: what is started has to be found again whatever comes next.
        state.save()


def _wait_until_all_answer(services: Sequence[Service], state: State, report: Report) -> None:
    """All in turn rather than one after the other: what ended is noticed while a slow one still starts."""
    began = time.monotonic()
    waiting = list(services)
    while waiting:
        for service in list(waiting):
            if service.answers():
                report(f"{service.name} answers at {service.address}")
                waiting.remove(service)
            else:
                _check_that_it_starts(service, state, time.monotonic() - began)
        time.sleep(processes.POLL_SECONDS)


def _check_that_it_starts(service: Service, state: State, waited: float) -> None:
    if _process(service, state) is None:
        raise processes.failure(service.name, "ended while starting", service.log)
    if waited > service.start_seconds:
        what = f"did not answer within {service.start_seconds:.0f} s"
        raise processes.failure(service.name, what, service.log)


def _stop(services: Sequence[Service], state: State) -> list[str]:
    """Stop them side by side, so that the slowest sets the time; the names of those that ran."""
    running = [(service, process) for service in services if (process := _process(service, state))]
    with ThreadPoolExecutor(len(_KINDS)) as pool:
        list(pool.map(_end, running))
    for service in services:
        state.pids.pop(service.name, None)
    state.save()
    return [service.name for service, _process in running]


def _end(running: tuple[Service, psutil.Process]) -> None:
    service, process = running
    processes.stop(process, service.stop_signal, service.stop_seconds)
    service.tidy()


def _process(service: Service, state: State) -> psutil.Process | None:
    return processes.find(state.pids.get(service.name), service.marker)


def _status(service: Service, state: State) -> Status:
    process = _process(service, state)
    return Status(
        pid=None if process is None else process.pid,
        answers=process is not None and service.answers(),
        address=service.address,
        log=service.log,
    )


def _state_file(datadir: Path) -> Path:
    return datadir / "services.json"


def _lock_file(datadir: Path) -> Path:
    return datadir / "services.lock"
