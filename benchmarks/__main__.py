"""`python -m benchmarks [NAME...]`: run measurements (all by default), print a table of each, write JSON."""

import asyncio
import shlex
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.bed import bed
from benchmarks.growth import growth
from benchmarks.latency import latency
from benchmarks.load import Loads
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.recovery import recovery
from benchmarks.result import Record, Result, show
from benchmarks.state import state
from benchmarks.whole import whole

Measurement = Callable[[Loads, Options], Awaitable[Result]]
MEASUREMENTS: dict[str, Measurement] = {
    "state": state,
    "whole": whole,
    "latency": latency,
    "growth": growth,
    "recovery": recovery,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MEASUREMENTS)))
@click.option("--count", type=click.IntRange(1000), help="Transactions; 1,000,000 by default.")
@click.option("--users", type=click.IntRange(10), help="Their users; 100,000 by default.")
@click.option("--rounds", type=click.IntRange(1), help="Runs of each contender, in turn; 3 by default.")
@click.option("--seconds", type=click.FloatRange(1), help="How long each rate of latency; 15 by default.")
@click.option("--quick", is_flag=True, help="Only see that everything runs: small, one round.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bench"),
    show_default=True,
    help="Where the JSON goes, one file a measurement.",
)
def main(names: tuple[str, ...], *, quick: bool, output: Path, **given: Any) -> None:
    """Run the measurements named, or all.

    Compare ratios within a run, not rates between runs: the machine's other work is in all of them.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    options = replace(Options.quick() if quick else Options(), **changes)
    asyncio.run(_measure(names or tuple(MEASUREMENTS), options, output))


async def _measure(names: tuple[str, ...], options: Options, output: Path) -> None:
    console = Console()
    with bed() as services:
        loads = Loads(services)
        for name in names:
            click.echo(f"{name}:")
            began = time.monotonic()
            record = _record(await MEASUREMENTS[name](loads, options))
            show(record.result, console)
            record.write(output)
            click.echo(f"{name} took {time.monotonic() - began:.0f} s; written to {output / name}.json\n")


def _record(result: Result) -> Record:
    began = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(began, _command(), machine(), versions(), result)


def _command() -> str:
    """This command as it is to be typed again."""
    return shlex.join([".venv/bin/python", "-m", "benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    main()
