"""The demo's own processes: started in order, started again when they end, and ended with the demo."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 8.0
_TAIL_LINES = 15


class ChildError(Exception):
    """A command of txnwatch failed, or cannot run here; the message has the end of its log."""


@dataclass(slots=True)
class Child:
    """A command of txnwatch that runs beside the demo, its output in a log file."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    group: int
    log: Path
    process: asyncio.subprocess.Process = field(init=False)
    began: float = field(init=False)
    _said_before: int = field(init=False)
    """How many bytes its log had when it began."""

    async def start(self, *, shown: bool = False) -> None:
        """Start it, in the group; what it says beside its output is `shown`, or logged."""
        command = (str(Path(sys.executable).with_name("txnwatch")), *self.arguments)
        self.began = time.monotonic()
        with self.log.open("ab") as output:
            self._said_before = output.tell()
            self.process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=None if shown else output,
                process_group=self.group,
            )

    @property
    def ending(self) -> str:
        """How it ended: by a signal, or with the last line that it said."""
        code = self.process.returncode or 0
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        said = "".join(f": {line.removeprefix('Error: ')}" for line in self.tail(1))
        return f"exit code {code}{said}"

    def tail(self, lines: int) -> list[str]:
        """The last lines of what it said."""
        return self.log.read_bytes()[self._said_before :].decode(errors="replace").splitlines()[-lines:]

    def listens_on(self, port: int) -> bool:
        """Whether it is this process that listens on a port of localhost, and not one of another program."""
        try:
            connections = psutil.Process(self.process.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


@dataclass(slots=True)
class Children:
    """All of them, with what they have in common; they end with their group."""

    group: int
    """A process group that is not the terminal's: Ctrl-C reaches the demo alone."""
    logs: Path
    say: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str, shown: bool = False) -> None:
        """Run a command to its end.

        Raises:
            ChildError: It failed; with the end of its log, unless that was shown.
        """
        child = await self.start(*arguments, shown=shown)
        if await child.process.wait():
            raise failure(child, 0 if shown else _TAIL_LINES)

    async def start(self, *arguments: str, shown: bool = False) -> Child:
        """Start a command."""
        child = Child(arguments, self.environment, self.group, self.logs / f"{arguments[0]}.log")
        await child.start(shown=shown)
        return child

    async def keep(self, child: Child) -> None:
        """Start the child again whenever it ends or is killed, later and later while it ends soon."""
        wait = _SHORTEST_WAIT
        while True:
            await child.process.wait()
            ending, ran = child.ending, time.monotonic() - child.began
            wait = _SHORTEST_WAIT if ran > _LONGEST_WAIT else wait
            await asyncio.sleep(wait)
            await child.start()
            wait = min(2 * wait, _LONGEST_WAIT)
            self.say(f"{child.arguments[0]} ended ({ending}): started again, pid {child.process.pid}")

    async def watch(self, child: Child) -> None:
        """Say how the child ended that is not started again, and what it said."""
        await child.process.wait()
        said = "\n".join(f"  {line}" for line in child.tail(_TAIL_LINES))
        self.say(f"{' '.join(child.arguments)} ended, exit code {child.process.returncode}:\n{said}")


def failure(child: Child, lines: int = _TAIL_LINES) -> ChildError:
    """An error with the last lines of what the child said, and the path of its log."""
    tail = child.tail(lines) if lines else []
    what = "does not answer" if child.process.returncode is None else "failed"
    said = "\n".join([f"txnwatch {' '.join(child.arguments)} {what}:", *tail])
    return ChildError(f"{said}\nIts whole log: {child.log}")
