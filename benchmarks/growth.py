"""`growth`: the whole job's rate and memory as users and workers become more."""

from dataclasses import dataclass

from benchmarks.contenders import Txnwatch
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.race import Standing, race
from benchmarks.result import TIMES, Cell, Column, Figure, Result, ratio

COLUMNS = [
    Column("users", "users"),
    Column("workers", "workers"),
    Column("rate", "median/s"),
    Column("against", f"{TIMES} the first", ".2f"),
    Column("cpu", "CPU µs", ".1f"),
    Column("megabytes", "MB a worker"),
    Column("count", "count"),
]
METHOD = (
    f"{TIMES} the first: its rate over that of the first row. MB a worker: the most resident memory seen "
    "over the workers. The joining of the later workers is in the time. Workers, broker and database share "
    "the machine's cores: more workers than cores gain nothing. Redis may be behind at the end, see whole."
)


@dataclass(frozen=True, slots=True)
class Step:
    """A number of users and of workers."""

    users: int
    workers: int


async def growth(loads: Loads, options: Options) -> Result:
    """More users with one worker, then more workers with the usual number of users."""
    few, usual, many = options.users // 10, options.users, options.users * 10
    steps = [Step(few, 1), Step(usual, 1), Step(many, 1), Step(usual, 2), Step(usual, 4)]
    standings: dict[Step, Standing] = {}
    for step in steps:
        name = f"{step.users:,} users, {step.workers} worker{'s' if step.workers > 1 else ''}"
        contender = Txnwatch(name, workers=step.workers)
        rounds = max(1, options.rounds // 2)
        count = options.count if step.workers == 1 else options.spared
        raced = await race(loads, [contender], count=count, users=step.users, rounds=rounds)
        standings[step] = raced[name]
    first = standings[steps[0]].rate
    bytes_of_many = standings[steps[2]].memory_bytes
    return Result(
        name="growth",
        title="the whole job as users and workers become more",
        setting=f"{options.count:,} JSON transactions of about 180 bytes, 4 partitions, lz4",
        columns=COLUMNS,
        rows=[_row(step, standing, first) for step, standing in standings.items()],
        figures=[
            Figure(
                f"whole at {many:,} users against {few:,}", ratio(standings[steps[2]].rate, first), 0.7, 0.9
            ),
            Figure(
                f"memory of a worker at {many:,} users",
                None if bytes_of_many is None else bytes_of_many / 1e6,
                500,
                unit="MB",
                better="less",
            ),
        ],
        notes=[METHOD, *(f"{each.name} {each.failure}" for each in standings.values() if each.failure)],
    )


def _row(step: Step, standing: Standing, first: float | None) -> dict[str, Cell]:
    memory = standing.memory_bytes
    return {
        "users": step.users,
        "workers": step.workers,
        "rate": standing.rate,
        "against": ratio(standing.rate, first),
        "cpu": standing.cpu_microseconds,
        "megabytes": None if memory is None else memory / 1e6 / step.workers,
        "count": standing.count,
    }
