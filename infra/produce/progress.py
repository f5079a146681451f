"""The progress bar: how many, how fast, and the time left by bytes read or by the number wanted."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from infra.produce.tally import Tally

_EVERY_SECONDS = 0.1

Fraction = Callable[[], float | None]
"""How much of the work is done, from 0 to 1; None when nobody can know."""


@contextmanager
def shown(tally: Tally, fraction: Fraction, console: Console) -> Iterator[Callable[[], None]]:
    """A function that redraws the bar when it is time to; it does nothing where there is no terminal."""
    if not console.is_terminal:
        yield lambda: None
        return
    with _bar(console) as bar:
        task = bar.add_task("", total=1.0 if fraction() is not None else None, sent="", rate="")
        started = drawn = time.monotonic()

        def watch() -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn < _EVERY_SECONDS:
                return
            drawn = now
            rate = tally.taken / (now - started)
            bar.update(task, completed=fraction() or 0.0, sent=f"{tally.taken:,}", rate=f"{rate:,.0f}/s")
            bar.refresh()

        yield watch


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[sent]} sent"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        transient=True,
    )
