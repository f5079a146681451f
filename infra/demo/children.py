"""The demo's own processes: started in order, started again when they end, stopped in reverse."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_STOP_SECONDS = 40
_RESTART_SECONDS = 1


class ChildError(Exception):
    """A command of txnwatch failed; the message has the end of its log."""


@dataclass(slots=True)
class Child:
    """A command of txnwatch that runs beside the demo, its output in a log file."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process = field(init=False)
    stopping: bool = False

    async def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C reaches the demo alone, which stops it in its turn."""
        command = (str(Path(sys.executable).with_name("txnwatch")), *self.arguments)
        environment = {**os.environ, **self.environment}
        nothing = asyncio.subprocess.DEVNULL
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=nothing, stdout=output, stderr=output, start_new_session=True
            )

    async def stop(self) -> None:
        """Stop it in order, or by force where that takes too long."""
        self.stopping = True
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@dataclass(slots=True)
class Children:
    """All of them, with what they have in common."""

    environment: Mapping[str, str]
    logs: Path
    say: Callable[[str], None]
    running: list[Child] = field(default_factory=list)

    async def run(self, *arguments: str) -> None:
        """Run a command to its end.

        Raises:
            ChildError: It failed; with the end of its log.
        """
        child = await self.start(*arguments)
        if await child.process.wait():
            command, log = " ".join(arguments), child.log
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise ChildError(f"txnwatch {command} failed:\n{tail}\nIts whole log: {log}")

    async def start(self, *arguments: str) -> Child:
        """Start a command; it is stopped with the others."""
        child = Child(arguments, self.environment, self.logs / f"{arguments[0]}.log")
        await child.start()
        self.running.append(child)
        return child

    async def keep(self, child: Child) -> None:
        """Start the child again whenever it ends or is killed, until it is stopped."""
        while not child.stopping:
            code = await child.process.wait()
            if not child.stopping:
                await asyncio.sleep(_RESTART_SECONDS)
                await child.start()
                ending = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                self.say(f"{child.arguments[0]} ended ({ending}): started again, pid {child.process.pid}")

    async def stop(self) -> None:
        """Stop all, the last started first."""
        while self.running:
            await self.running.pop().stop()
