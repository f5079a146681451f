"""The services under faults: their processes killed, stopped and started again."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.embedded import cluster
from infra.embedded.state import State, is_free
from tests.support.installation import until
from tests.support.standing_still import standing_still


class Services:
    """The three services of a data folder of their own."""

    def __init__(self, datadir: Path) -> None:
        self.datadir = datadir
        self.addresses = cluster.up(datadir)

    def pid(self, name: str) -> int:
        """The pid of a service's main process."""
        pid = cluster.status(self.datadir)[name].pid
        assert pid is not None, f"{name} does not run"
        return pid

    async def end(self, name: str, how: signal.Signals) -> None:
        """Send the service's main process a signal and wait until nothing of it is left."""
        process = psutil.Process(self.pid(name))
        process.send_signal(how)
        await asyncio.to_thread(_wait, process)
        # Its last threads may hold its ports for a moment longer than it is seen to run.
        await until(lambda: self._free(name), within=30)

    async def _free(self, name: str) -> bool:
        """Whether the service's ports, if it has any, can be listened on again."""
        ports = State.load(self.datadir.resolve()).ports
        own = {"kafka": ("kafka", "controller"), "valkey": ("valkey",)}.get(name, ())
        return all(is_free(ports[port]) for port in own)

    async def start(self) -> None:
        """Start what does not run; all answer after."""
        await asyncio.to_thread(cluster.up, self.datadir)

    def port(self, name: str) -> int:
        """Where a service listens."""
        return State.load(self.datadir.resolve()).ports[name]

    async def move(self, name: str, port: int) -> None:
        """End a service, and start it at another port."""
        await self.end(name, signal.SIGTERM)
        state = State.load(self.datadir.resolve())
        state.ports[name] = port
        state.save()
        await self.start()

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """The service and its children are stopped while the block runs: connected, and never answering."""
        main = psutil.Process(self.pid(name))
        family = [main, *main.children(recursive=True)]
        with standing_still(*family):
            yield


def _wait(process: psutil.Process) -> None:
    try:
        while process.status() != psutil.STATUS_ZOMBIE:
            try:
                process.wait(0.05)
            except psutil.TimeoutExpired:
                continue
            return
    except psutil.NoSuchProcess:
        return
