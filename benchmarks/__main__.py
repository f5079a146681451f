"""`python -m benchmarks`: run the measurements, print a table, write JSON."""

import asyncio
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.race import Lap, rate_of
from benchmarks.throughput import throughput


@click.command()
@click.option("--count", default=1_000_000, show_default=True, help="Transactions.")
@click.option("--users", default=100_000, show_default=True, help="Their users.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each contender, in turn.")
@click.option(
    "--json", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write the laps here."
)
def main(count: int, users: int, rounds: int, output: Path | None) -> None:
    """Measure throughput; medians of all rounds, ratios within this run."""
    laps = asyncio.run(throughput(count, users, rounds))
    Console().print(_table(laps))
    if output is not None:
        machine = {"python": sys.version, "machine": platform.platform(), "count": count, "users": users}
        results = {name: [asdict(lap) for lap in each] for name, each in laps.items()}
        output.write_text(json.dumps({**machine, "laps": results}, indent=2))


def _table(laps: dict[str, list[Lap]]) -> Table:
    table = Table("contender", "median/s", "lowest", "highest", "ratio to the first", "MB")
    base = rate_of(next(iter(laps.values())))
    for name, each in laps.items():
        rates = sorted(lap.rate for lap in each)
        rate = rate_of(each)
        memory = max(lap.memory_bytes for lap in each) / 1e6
        figures = (rate, rates[0], rates[-1])
        table.add_row(name, *(f"{figure:,.0f}" for figure in figures), f"{rate / base:.2f}", f"{memory:.0f}")
    return table


main()
