"""Workers of one installation that come and go."""

import random
import signal
from contextlib import ExitStack

from tests.support.faults.rig import Rig, Worker
from tests.support.faults.sleep import SMALL

ENDED = {0, -signal.SIGTERM}  # the second: one that was not yet so far as to take the signal itself


class Crew:
    """Workers of one installation, each with a data folder of its own that the next may inherit."""

    def __init__(self, ground: Rig, stack: ExitStack, *, most: int, seed: int) -> None:
        self._ground = ground
        self._stack = stack
        self._random = random.Random(seed)
        self._folders = [f"worker-{number}" for number in range(most)]
        self.workers: dict[str, Worker] = {}

    def join(self) -> None:
        """Start one more, with a folder that nobody uses."""
        folder = self._random.choice([name for name in self._folders if name not in self.workers])
        self.workers[folder] = self._stack.enter_context(self._ground.run(datadir=folder, **SMALL))

    async def leave(self) -> None:
        """End one as an operator does."""
        worker = self.workers.pop(self._random.choice(sorted(self.workers)))
        assert await worker.stop() in ENDED, worker.tail()

    async def die(self) -> None:
        """Kill one."""
        await self.workers.pop(self._random.choice(sorted(self.workers))).kill()

    async def change(self) -> bool:
        """Something that the seed chooses, singly or two at once; whether somebody was killed."""
        room, there = len(self._folders) - len(self.workers), len(self.workers)
        choices = ["join"] * room + ["die", "leave"] * (there - 1) + ["burst"] * (room >= 1 and there >= 1)
        match self._random.choice(choices):
            case "join":
                self.join()
            case "leave":
                await self.leave()
            case "die":
                await self.die()
                return True
            case _:
                self.join()
                await self.die()
                return True
        return False
