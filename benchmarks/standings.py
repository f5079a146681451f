"""A race's outcome as rows of a table, ours first.

`times` is our median rate over the contender's, `cpu` the processor time of a transaction, `megabytes`
the most resident memory seen, `count` how many transactions the contender got.
"""

from collections.abc import Mapping

from benchmarks.race import Standing
from benchmarks.result import TIMES, Cell, Column, ratio

QUOTABLE = 300_000
COLUMNS = [
    Column("contender", "contender"),
    Column("rate", "median/s"),
    Column("lowest", "lowest"),
    Column("highest", "highest"),
    Column("times", f"ours {TIMES}", ".2f"),
    Column("cpu", "CPU µs", ".1f"),
    Column("megabytes", "MB"),
    Column("count", "count"),
]


def table(standings: Mapping[str, Standing]) -> list[dict[str, Cell]]:
    """A row each; `times` is how many times the contender's rate ours is, the first one's."""
    ours = next(iter(standings.values())).rate
    return [_row(standing, ours) for standing in standings.values()]


def failures(standings: Mapping[str, Standing]) -> list[str]:
    """A note for each contender that did not come through."""
    return [f"{each.name} {each.failure}" for each in standings.values() if each.failure]


def times(standings: Mapping[str, Standing], *peers: str) -> float | None:
    """How many times the fastest of these peers the first contender is; None without any of them."""
    rates = [standings[peer].rate for peer in peers if standings[peer].rate is not None]
    return ratio(next(iter(standings.values())).rate, max(filter(None, rates), default=None))


def share(standings: Mapping[str, Standing], name: str) -> float | None:
    """How many times the first contender's rate the named one has."""
    return ratio(1, times(standings, name))


def _row(standing: Standing, ours: float | None) -> dict[str, Cell]:
    rates = [lap.rate for lap in standing.laps]
    memory = standing.memory_bytes
    return {
        "contender": standing.name,
        "rate": standing.rate,
        "lowest": min(rates, default=None),
        "highest": max(rates, default=None),
        "times": ratio(ours, standing.rate),
        "cpu": standing.cpu_microseconds,
        "megabytes": None if memory is None else memory / 1e6,
        "count": standing.count,
    }


def short(count: int) -> list[str]:
    """A note where a topic is too short for its rates to be quoted."""
    if count >= QUOTABLE:
        return []
    note = (
        f"Fewer than {QUOTABLE:,} transactions: not to be quoted, since whoever hands flags over in bursts "
        "gains by a burst at either end."
    )
    return [note]
