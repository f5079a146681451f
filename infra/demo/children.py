"""The demo's own processes: started in order, started again when they die, stopped in reverse."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_SECONDS = 40
RESTART_SECONDS = 1


class ChildError(Exception):
    """A command of txnwatch failed; the message has the end of its log."""


@dataclass(slots=True)
class Child:
    """A command of txnwatch that runs beside the demo, its output in a log file."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False

    async def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for the demo, which stops it in its turn."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("txnwatch"),
                *self.arguments,
                env={**os.environ, **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def finish(self) -> None:
        """Wait for its end; ChildError unless that was a good one."""
        assert self.process is not None  # noqa: S101 - started before
        if await self.process.wait():
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise ChildError(
                f"txnwatch {' '.join(self.arguments)} failed:\n{tail}\nIts whole log: {self.log}"
            )

    async def stop(self) -> None:
        """End it: in its own time, then by force."""
        self.stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@dataclass(slots=True)
class Children:
    """All of them, by what they have in common."""

    environment: Mapping[str, str]
    logs: Path
    say: Callable[[str], None]
    running: list[Child] = field(default_factory=list)

    async def run(self, *arguments: str) -> None:
        """Run a command to its end."""
        child = await self.start(*arguments)
        await child.finish()

    async def start(self, *arguments: str) -> Child:
        """Start a command; it is stopped with the others."""
        child = Child(arguments[0], arguments, self.environment, self.logs / f"{arguments[0]}.log")
        await child.start()
        self.running.append(child)
        return child

    async def keep(self, child: Child) -> None:
        """Start the child again whenever it ends by itself, or is killed."""
        while not child.stopping:
            assert child.process is not None  # noqa: S101 - started before
            code = await child.process.wait()
            if not child.stopping:
                await asyncio.sleep(RESTART_SECONDS)
                await child.start()
                self.say(f"{child.name} ended ({_ending(code)}): started again, pid {child.process.pid}")

    async def stop(self) -> None:
        """Stop all, the last started first."""
        while self.running:
            await self.running.pop().stop()


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
