"""A worker that is stopped past its session, and goes on when others have its partitions."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.faults.plan import Plan
from tests.support.faults.rig import Rig, Worker
from tests.support.installation import until
from tests.support.traffic import Sent, traffic

SMALL = {"TXNWATCH_BATCH_SIZE": "50"}
FIRST, SECOND = 3000, 1000


@dataclass(frozen=True, slots=True)
class Nap:
    """When a worker fell asleep, and what it committed to Kafka from waking to opening partitions again.

    Of the partition in whose batch it fell asleep: another one's commit may have reached the broker just
    before, and only its answer is read after waking.
    """

    slept: float
    commits_before_opening: int
    messages: int = FIRST + SECOND


async def sleep_through(
    ground: Rig, plan: Plan, *, seed: int, off: tuple[str, ...] = (), sent: Sequence[Sent] = ()
) -> Nap:
    """A worker stops itself in a batch; another finishes everything; it wakes; both go on with more."""
    transactions = sent or traffic(FIRST + SECOND, seed=seed)
    await ground.send_transactions(transactions[:FIRST])
    with ground.run(plan, datadir="sleeper", **SMALL) as sleeper:
        await asleep(sleeper)
        (slept,) = ground.events("signalled")
        with ground.run(Plan(off=[*off]), datadir="other", **SMALL) as other:
            await ground.finish(other)
            woken = wake(sleeper)
            await until(lambda: opened(ground, sleeper, after=woken))
            await ground.send_transactions(transactions[FIRST:])
            await ground.finish(sleeper, other)
            for worker in (sleeper, other):
                assert await worker.stop() == 0, worker.tail()
    return Nap(slept.at, commits_before_opening(ground, sleeper, slept.partition, after=woken))


async def asleep(worker: Worker) -> None:
    """Wait until the worker has stopped itself."""

    async def stopped() -> bool:
        assert worker.process.poll() is None, worker.tail()
        return worker.state() == "T"

    await until(stopped)


def wake(worker: Worker) -> float:
    """Let the worker go on; when that was."""
    now = time.time()
    worker.process.send_signal(signal.SIGCONT)
    return now


async def opened(ground: Rig, worker: Worker, *, after: float) -> bool:
    """Whether the worker has taken a partition over since then."""
    assert worker.process.poll() is None, worker.tail()
    return any(event.at > after for event in ground.events("opened", worker.process.pid))


def commits_before_opening(ground: Rig, worker: Worker, partition: int, *, after: float) -> int:
    """How many of the partition's batches the worker committed from then to taking any partition over."""
    later = [event for event in ground.events(pid=worker.process.pid) if event.at > after]
    opened = [event.at for event in later if event.what == "opened"]
    ours = [event.at for event in later if event.what == "output committed" and event.partition == partition]
    return sum(at < min(opened) for at in ours)
