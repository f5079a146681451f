"""What is printed: a table of figures, what was left out and why, and the progress on the way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box, progress
from rich.console import Console
from rich.table import Table

from stream_app.commands.backtest.figures import BudgetFigures, Summary
from stream_app.commands.backtest.outcome import Difference, Outcome

_NOTHING = "-"
Line = tuple[str, Callable[[Summary], str]]


def _share(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def score_text(value: float) -> str:
    """A score in as many digits as tell it from others.

    >>> score_text(5.0), score_text(1234567.0), score_text(0.333333333)
    ('5', '1234567', '0.333333')
    """
    return f"{value:.0f}" if value == int(value) else f"{value:.6g}"


_ALERTS: Sequence[Line] = [
    ("flagged", lambda summary: f"{summary.flagged:,}"),
    ("alerts a day", lambda summary: f"{summary.alerts_a_day:,.1f}"),
    ("most on one day", lambda summary: f"{summary.most_alerts:,}"),
]
_OF_LABELS: Sequence[Line] = [
    ("precision", lambda summary: _share(summary.precision)),
    ("recall", lambda summary: _share(summary.recall)),
    ("average precision", lambda summary: _share(summary.average_precision)),
    ("AUC", lambda summary: _share(summary.auc)),
    ("recall at precision 0.9", lambda summary: _share(summary.recall_at_precision_90)),
    ("card precision, 100 a day", lambda summary: _share(summary.card_precision_100)),
]


def figure_lines(summaries: Sequence[Summary]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each figure's name, and its text for each of them."""
    for what, show in _lines(summaries):
        yield what, [show(summary) for summary in summaries]


def figures_table(names: Sequence[str], summaries: Sequence[Summary]) -> Table:
    """A column for each detector, a line for each figure."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for what, cells in figure_lines(summaries):
        table.add_row(what, *cells)
    return table


def notes_of(outcome: Outcome) -> Iterator[str]:
    """What history was, and what is to be known of it, a line each."""
    source = outcome.source
    when = f", {source.first} to {source.last}" if source.first else ""
    yield f"{source.name}: {source.transactions:,} transactions{when}"
    for reason, its in source.refused.items():
        more = ", ..." if its.count > len(its.lines) else ""
        where = f"line{'s' if its.count > 1 else ''} {', '.join(map(str, its.lines))}{more}"
        yield f"{its.count:,} refused by the worker, {reason}: {where}; the first: {its.detail}"
    yield from source.notes
    if outcome.difference is not None:
        yield _difference(outcome.difference)


def _difference(one: Difference) -> str:
    of = "{:,} flags{} ({:,} frauds)".format
    parts = [
        ("by both", one.both, one.both_frauds),
        ("gained", one.gained, one.gained_frauds),
        ("lost", one.lost, one.lost_frauds),
    ]
    return "; ".join(of(count, f" {what}", frauds) for what, count, frauds in parts)


def _lines(summaries: Sequence[Summary]) -> Iterator[Line]:
    yield from _ALERTS
    if any(summary.frauds for summary in summaries):
        yield from _OF_LABELS
    else:
        yield from (_quantile(share) for share in summaries[0].quantiles)
    for name in summaries[0].scenarios:
        yield from _of_scenario(name)
    if summaries[0].budget:
        yield from _of_budget(summaries[0].budget.alerts_per_day)


def _quantile(share: str) -> Line:
    return f"score at {float(share):.1%}", lambda summary: score_text(summary.quantiles[share])


def _of_scenario(name: str) -> Iterator[Line]:
    yield f"scenario {name}: recall", lambda summary: _share(summary.scenarios[name].recall)
    yield (
        f"scenario {name}: average precision",
        lambda summary: _share(summary.scenarios[name].average_precision),
    )


def _of_budget(most: int) -> Iterator[Line]:
    def budget(summary: Summary) -> BudgetFigures:
        assert summary.budget is not None  # noqa: S101 - all have one, or none
        return summary.budget

    yield f"at most {most:,} a day: score from", lambda one: _threshold(budget(one))
    yield "  then flagged", lambda one: f"{budget(one).flagged:,}"
    yield "  precision", lambda one: _share(budget(one).precision)
    yield "  recall", lambda one: _share(budget(one).recall)


def _threshold(budget: BudgetFigures) -> str:
    return "none will do" if budget.threshold is None else score_text(budget.threshold)


@contextmanager
def progress_of(fraction: Callable[[], float | None], console: Console) -> Iterator[Callable[[int], None]]:
    """Show a bar while inside, on a terminal only; yield the function that is told how many rows are done."""
    columns = (
        progress.TextColumn("{task.fields[rows]:,} rows"),
        *(progress.BarColumn(), progress.TaskProgressColumn()),
        progress.TextColumn("{task.fields[rate]:,.0f}/s"),
        *(progress.TimeElapsedColumn(), "left", progress.TimeRemainingColumn()),
    )
    shown = console.is_terminal
    with progress.Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None if fraction() is None else 1.0, rows=0, rate=0)

        def done(rows: int) -> None:
            if not shown:
                return
            seconds = bar.tasks[0].elapsed or 0
            rate = rows / seconds if seconds else 0
            bar.update(task, completed=fraction() or 0.0, rows=rows, rate=rate)

        yield done
