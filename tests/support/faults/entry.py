"""A worker that stops or kills itself at a chosen point: `python -m tests.support.faults.entry PLAN`.

The product's own classes, with the methods that mark the points wrapped. Nothing of this is in the product.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from stream_app import app as composition
from stream_app import takeover
from stream_app.app import create_app
from stream_app.batch import LostPartitionError
from stream_app.faust_adapter.consumer import BatchConsumer
from stream_app.faust_adapter.worker import BoundedWorker
from stream_app.pipeline import Pipeline
from stream_app.settings import Settings
from stream_app.sinks import postgres
from stream_app.sinks.kafka import TransactionalOutput
from stream_app.sinks.postgres import PostgresRows
from stream_app.sinks.redis_mirror import RedisMirror
from stream_app.state.decided.partition import DecidedPartition
from stream_app.takeover import TakeOver
from tests.support.faults.plan import Event, Plan
from tests.support.faults.protections import switch_off

# Batches are small in these runs: those of more rows than this are copied, the others merged.
FEW_ROWS = 25


class Points:
    """Counts passes of the plan's point and sends the signal at the one planned."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._passed = 0

    def reach(self, point: str, partition: int = -1) -> None:
        """Note that a point was passed."""
        if point in {"output committed", "rows committed", "opened", "refused", "decision applied"}:
            self._note(point, partition)
        if point != self._plan.point:
            return
        self._passed += 1
        if self._passed == self._plan.nth:
            self._note("signalled", partition)
            os.kill(os.getpid(), self._plan.signal)

    def _note(self, what: str, partition: int) -> None:
        line = msgspec.json.encode(Event(time.time(), os.getpid(), what, partition)) + b"\n"
        with Path(self._plan.events).open("ab") as events:
            events.write(line)


def wrap(points: Points) -> None:
    """Mark the points."""
    _after(Pipeline, "_decode", points, "decoded", _batch)
    _after(Pipeline, "_load", points, "loaded", _first)
    _refused(PostgresRows, "write", points)
    _before(PostgresRows, "write", points, "scored", _first)
    _after(postgres, "_copy", points, "rows copied", _nowhere)
    _after(postgres, "_merge", points, "rows copied", _nowhere)
    _after(PostgresRows, "write", points, "rows committed", _first)
    _after(TransactionalOutput, "_fill", points, "output filled", _batch)
    _after(TransactionalOutput, "commit", points, "output committed", _batch)
    _after(Pipeline, "_keep_windows", points, "windows written", _batch)
    _after(RedisMirror, "put", points, "mirrored", _first)
    _after(BatchConsumer, "ack", points, "acknowledged", _batch)
    _before(PostgresRows, "_note_applied", points, "decision taken", _first)
    _after(PostgresRows, "note_applied", points, "decision noted", _first)
    _after(TransactionalOutput, "apply", points, "decision committed", _nowhere)
    _after(DecidedPartition, "apply", points, "decision applied", _nowhere)
    _after(PostgresRows, "take_over", points, "epoch raised", _first)
    _after(TransactionalOutput, "__aenter__", points, "producer started", _nowhere)
    _after(takeover, "restore", points, "windows restored", _nowhere)
    _after(TakeOver, "open", points, "opened", _first)


Where = Callable[..., int]


def _first(*arguments: Any) -> int:
    """The partition is the method's first argument."""
    return int(arguments[1])


def _batch(*arguments: Any) -> int:
    """The method's first argument is of a partition."""
    return int(arguments[1].partition)


def _nowhere(*_arguments: Any) -> int:
    return -1


def _after(owner: Any, name: str, points: Points, point: str, where: Where) -> None:
    method = getattr(owner, name)
    if asyncio.iscoroutinefunction(method):

        async def wrapped_async(*arguments: Any, **options: Any) -> Any:
            result = await method(*arguments, **options)
            points.reach(point, where(*arguments))
            return result

        setattr(owner, name, wrapped_async)
        return

    def wrapped(*arguments: Any, **options: Any) -> Any:
        result = method(*arguments, **options)
        points.reach(point, where(*arguments))
        return result

    setattr(owner, name, wrapped)


def _before(owner: Any, name: str, points: Points, point: str, where: Where) -> None:
    method = getattr(owner, name)

    async def wrapped(*arguments: Any, **options: Any) -> Any:
        points.reach(point, where(*arguments))
        return await method(*arguments, **options)

    setattr(owner, name, wrapped)


def _refused(owner: Any, name: str, points: Points) -> None:
    method = getattr(owner, name)

    async def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return await method(*arguments, **options)
        except LostPartitionError:
            points.reach("refused", _first(*arguments))
            raise

    setattr(owner, name, wrapped)


def main() -> None:
    """Run a worker by the plan."""
    plan = Plan.parse(sys.argv[1])
    for protection in plan.off:
        switch_off(protection)
    wrap(Points(plan))
    vars(composition)["PostgresRows"] = partial(PostgresRows, few_rows=FEW_ROWS)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(Settings.load())
    BoundedWorker(app, loop=loop, loglevel="INFO", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
