"""`python -m benchmarks [NAME...]`: run measurements (all by default), print a table of each, write JSON."""

import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.backtest import backtest
from benchmarks.bed import bed
from benchmarks.decide import decide
from benchmarks.detectors import detectors
from benchmarks.features import features
from benchmarks.growth import growth
from benchmarks.ingest import ingest
from benchmarks.latency import latency
from benchmarks.live import feed
from benchmarks.load import Loads
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.post import post
from benchmarks.query import query
from benchmarks.recovery import recovery
from benchmarks.report import report
from benchmarks.result import Record, Result, show
from benchmarks.returning import returning
from benchmarks.state import state
from benchmarks.taking_hold import taking_hold
from benchmarks.whole import whole

Measurement = Callable[[Loads, Options], Awaitable[Result]]
MEASUREMENTS: dict[str, Measurement] = {
    "state": state,
    "whole": whole,
    "latency": latency,
    "post": post,
    "decide": decide,
    "taking_hold": taking_hold,
    "growth": growth,
    "recovery": recovery,
    "query": query,
    "feed": feed,
    "returning": returning,
    "detectors": detectors,
    "backtest": backtest,
    "features": features,
    "ingest": ingest,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*MEASUREMENTS, "report"]))
@click.option("--count", type=click.IntRange(1000), help="Transactions; 1,000,000 by default.")
@click.option("--users", type=click.IntRange(10), help="Their users; 100,000 by default.")
@click.option("--rounds", type=click.IntRange(1), help="Runs of each contender, in turn; 3 by default.")
@click.option("--seconds", type=click.FloatRange(1), help="How long each rate of latency; 10 by default.")
@click.option("--full", is_flag=True, default=None, help="Spare no peer but stock Faust any transaction.")
@click.option("--quick", is_flag=True, help="Only see that everything runs: small, one round.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bench"),
    show_default=True,
    help="Where the JSON goes, one file a measurement.",
)
@click.option(
    "--docs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs"),
    show_default=True,
    help="Where `report` writes benchmarks.md.",
)
def main(names: tuple[str, ...], *, quick: bool, output: Path, docs: Path, **given: Any) -> None:
    """Run the measurements named, or all. The name `report` makes docs/benchmarks.md of what was measured.

    Compare ratios within a run, not rates between runs: the machine's other work is in all of them.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    options = replace(Options.quick() if quick else Options(), **changes)
    measured = [name for name in names or MEASUREMENTS if name != "report"]
    if measured:
        try:
            empty = asyncio.run(_measure(measured, options, output))
        except asyncio.CancelledError:
            raise click.Abort from None
        if empty:
            raise click.ClickException(f"nothing could be measured of {', '.join(empty)}; see its notes")
    if "report" in names:
        _report(output, docs)


def _report(output: Path, docs: Path) -> None:
    try:
        written = report(output, docs, tuple(MEASUREMENTS))
    except ImportError as error:
        raise click.ClickException(f"{error}: install txnwatch with the extra `bench`") from error
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(map(str, written)))


async def _measure(names: Sequence[str], options: Options, output: Path) -> list[str]:
    """Run these; of which nothing could be measured."""
    console, empty = Console(), []
    _end_once(signal.SIGINT, signal.SIGTERM)
    with bed() as services:
        loads = Loads(services)
        for name in names:
            click.echo(f"{name}:")
            began, started = datetime.now(UTC), time.monotonic()
            result = await MEASUREMENTS[name](loads, options)
            show(result, console)
            stamp = began.isoformat(timespec="seconds")
            Record(stamp, _command(name), machine(), versions(), result).write(output)
            seconds = time.monotonic() - started
            click.echo(f"{name} took {seconds:.0f} s; written to {output / name}.json\n")
            empty += [name] if result.is_empty else []
    return empty


def _end_once(*signals: signal.Signals) -> None:
    """Have the first of these signals cancel all, so that what was started is stopped; ignore others."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end() -> None:
        if task:
            task.cancel()
        for number in signals:
            loop.add_signal_handler(number, lambda: None)

    for number in signals:
        loop.add_signal_handler(number, end)


def _command(name: str) -> str:
    """The command that measures this alone in the same way."""
    given = [argument for argument in sys.argv[1:] if argument not in {*MEASUREMENTS, "report"}]
    return shlex.join([".venv/bin/python", "-m", "benchmarks", name, *_without_folders(given)])


def _without_folders(arguments: list[str]) -> list[str]:
    """Arguments less `--output` and `--docs`, which are nobody else's business."""
    kept, remaining = [], iter(arguments)
    for argument in remaining:
        if argument in {"--output", "--docs"}:
            next(remaining, None)
        elif not argument.startswith(("--output=", "--docs=")):
            kept.append(argument)
    return kept


if __name__ == "__main__":
    main()
