"""Workers that join, leave, die and sleep while the others go on."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.ledger import Ledger
from tests.faults.plan import Plan
from tests.faults.rig import Rig, Worker
from tests.faults.sleep import SMALL, sleep_through
from tests.traffic import Sent, traffic

CHUNK = 500
ENDED = {0, -signal.SIGTERM}  # the second: one that was not yet so far as to take the signal itself


class Crew:
    """Workers of one installation, each with a data folder of its own that the next may inherit."""

    def __init__(self, ground: Rig, stack: ExitStack, seed: int) -> None:
        self._ground = ground
        self._stack = stack
        self._random = random.Random(seed)
        self._folders = [f"worker-{number}" for number in range(3)]
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


async def come_and_go(ground: Rig, seed: int, changes: int) -> tuple[int, list[float], int]:
    """So many changes, each once the group has got on since the last: kills, their times, messages."""
    transactions = iter(traffic(CHUNK * (changes + 1), users=100, seed=seed))
    kills, sent = [], 0
    with ExitStack() as stack:
        crew = Crew(ground, stack, seed)
        crew.join()
        for _ in range(changes):
            await ground.send_transactions(chunk := take(transactions))
            sent += len(chunk)
            before = len(ground.events("outbox committed"))
            await ground.noted("outbox committed", count=before + 2)
            if await crew.change():
                kills.append(time.time())
        await ground.send_transactions(chunk := take(transactions))
        await ground.finish(*crew.workers.values())
        for worker in crew.workers.values():
            worker.process.send_signal(signal.SIGTERM)
        for worker in crew.workers.values():
            assert await worker.ended() in ENDED, worker.tail()
    return len(kills), ground.recoveries(*kills), sent + len(chunk)


def take(transactions: Iterator[Sent]) -> list[Sent]:
    return [sent for sent, _ in zip(transactions, range(CHUNK), strict=False)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("turn", range(3))
async def test_workers_come_go_and_die_and_the_numbers_stay_right(
    ground: Rig, ledger: Ledger, turn: int
) -> None:
    changes = 10
    kills, recovery, messages = await come_and_go(ground, ledger.seed + turn, changes)

    ledger.settle(
        "workers joining, leaving, killed",
        await ground.audited(),
        injected=changes,
        in_flight=kills,
        messages=messages,
        recovery=recovery,
    )


@pytest.mark.parametrize("point", [pytest.param("scored", marks=pytest.mark.slow), "rows committed"])
async def test_a_worker_that_sleeps_past_its_session_writes_nothing_when_it_wakes(
    ground: Rig, ledger: Ledger, point: str
) -> None:
    nap = await sleep_through(ground, Plan(point, 3, signal.SIGSTOP), seed=ledger.seed)

    ledger.settle(
        f"SIGSTOP past the session: {point}",
        await ground.audited(),
        injected=1,
        in_flight=1,
        messages=nap.messages,
        recovery=ground.recoveries(nap.slept),
    )
    assert nap.commits_before_opening == 0
