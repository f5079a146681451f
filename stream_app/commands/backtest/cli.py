"""`txnwatch backtest`: the command, and what it is put together from."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from infra.produce.amounts import MARKS
from infra.produce.files import STDIN, InputError, open_input
from infra.runtime.cli_errors import ServiceErrors, ending_in_one_line
from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.course import between, by_date, in_order
from stream_app.commands.backtest.days import Budget
from stream_app.commands.backtest.figures import Figures
from stream_app.commands.backtest.history import FileHistory, OpenHistory
from stream_app.commands.backtest.options import MOST_ALERTS, BacktestOptions, Moment, Span, mapping_of
from stream_app.commands.backtest.outcome import Found, Outcome
from stream_app.commands.backtest.output import OutputError, written_whole
from stream_app.commands.backtest.report import report
from stream_app.commands.backtest.run import Run
from stream_app.commands.backtest.scores import ScoresFile
from stream_app.commands.backtest.terminal import figures_table, notes_of, progress_of
from stream_app.detectors import DETECTORS, ensemble_of, is_known, names_in
from stream_app.settings import Settings

_INTERRUPTED = 130  # the exit code that shells expect of a command ended by Ctrl-C
_PATH = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.argument("file", type=_PATH)
@click.option("--detector", help="Which detector, over TXNWATCH_DETECTOR; several with commas.")
@click.option("--against", metavar="OTHER", help="Compare with another detector, by its name.")
@click.option("--scores", type=_PATH, metavar="OUT.csv", help="Write id, score and flagged of every row.")
@click.option("--report", type=_PATH, metavar="OUT.html", help="Write a page with curves and examples.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--alerts-per-day",
    type=click.IntRange(1, MOST_ALERTS),
    metavar="N",
    help="Name the threshold that gives at most N alerts on every day.",
)
@click.option("--from", "start", type=Moment(), help="Only transactions from this time on.")
@click.option("--to", "end", type=Moment(), help="Only transactions before this time.")
@click.option(
    "--warm-up",
    type=Span(),
    default=timedelta(0),
    metavar="SPAN",
    help="How long at the beginning nothing is counted: users' windows fill. As 30d.",
)
@click.option(
    "--map",
    "mapping",
    multiple=True,
    callback=mapping_of,
    metavar="FIELD=COLUMN",
    help="Which column is which field, e.g. amount=Total; label and label_scenario, too.",
)
@click.option("--currency", help="For rows that have none.")
@click.option("--status", help="For rows that have none.")
@click.option("--assume-utc", is_flag=True, help="Take dates without an offset as UTC.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The mark before the decimals of amounts.")
@click.option("--thousands", type=click.Choice(MARKS), help="The mark between thousands: . , ' or a space.")
@click.option("--sort", is_flag=True, help="Score by date: all is read first, in bounded memory.")
@click.option("--as-is", is_flag=True, help="Score in the order of FILE, whatever that is.")
@click.pass_context
def backtest(context: click.Context, /, **options: Any) -> None:
    """Show what a detector would have done with the transactions of a file, without Kafka.

    FILE is CSV or JSON lines, also gzipped, oldest first; - is standard input. The worker's own code scores
    it. With a column `label` (1 or 0, fraud or legitimate), precision, recall and what follows are shown.
    """
    given = BacktestOptions(**options)
    given.check()
    if unknown := [name for name in names_in(given.against or "") if not is_known(name)]:
        raise click.UsageError(
            f"--against: {', '.join(unknown)}: no detector; there is {', '.join(DETECTORS)}"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    errors = ServiceErrors(str(given.file), (InputError,)), OutputError
    with ending_in_one_line(*errors):
        try:
            _backtest(given, Settings.load(detector=given.detector))
        except KeyboardInterrupt:
            click.echo("\ninterrupted: nothing was written", err=True)
            context.exit(_INTERRUPTED)


def _backtest(given: BacktestOptions, settings: Settings) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with ExitStack() as stack:
        page = stack.enter_context(written_whole(given.report)) if given.report else None
        scores = ScoresFile(stack.enter_context(written_whole(given.scores))) if given.scores else None
        contenders = [stack.enter_context(one) for one in _contenders(given, settings)]
        figures = [
            Figures(Budget(given.alerts_per_day) if given.alerts_per_day else None) for _ in contenders
        ]
        run = Run(contenders, figures, warm_up=given.warm_up, scores=scores)
        history = stack.enter_context(_history(given, settings, console))
        with progress_of(history.fraction, console) as run.progress:
            run.through(history.rows)
        outcome = _outcome(run, history)
        if page is not None:
            page.write(report(outcome, figures))
    _print(outcome, as_json=given.as_json)


def _contenders(given: BacktestOptions, settings: Settings) -> Iterator[Contender]:
    by_currency = settings.window_by == "currency"
    for name in filter(None, (settings.detector, given.against)):
        ensemble = ensemble_of(name, untaught_statuses=settings.untaught_statuses)
        yield Contender(name, ensemble, by_currency=by_currency)


@contextmanager
def _history(given: BacktestOptions, settings: Settings, console: Console) -> Iterator[OpenHistory]:
    max_ahead = timedelta(hours=settings.max_ahead_hours)
    reader = FileHistory(
        given.of_file, datetime.now(UTC), settings.max_message_bytes, max_ahead, say=console.print
    )
    with open_input(given.file) as opened:
        exported, rows = reader.read(opened)
        if given.sort or (exported and not given.as_is):
            rows = by_date(rows)
        elif not given.as_is:
            rows = in_order(rows)
        history = OpenHistory(_name(given.file), opened.fraction, reader.words)
        history.rows = history.counted(between(rows, *given.span))
        yield history


def _name(file: Path) -> str:
    return "standard input" if file == STDIN else file.name


def _outcome(run: Run, history: OpenHistory) -> Outcome:
    found = [
        Found(one.name, one.ran(), figures.summary())
        for one, figures in zip(run.contenders, run.figures, strict=True)
    ]
    looks = run.looks
    against = found[1] if len(found) > 1 else None
    return Outcome(run.seen.source(history), found[0], against, looks.difference(), looks.examples())


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcome)))
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for note in notes_of(outcome):
        console.print(note)
    found = [one for one in (outcome.found, outcome.against) if one is not None]
    console.print(figures_table([one.name for one in found], [one.figures for one in found]))
