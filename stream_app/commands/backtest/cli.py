"""`txnwatch backtest`: the command, and what it is put together from."""

import signal
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import click
import msgspec
from msgspec.structs import replace
from rich.console import Console

from infra.produce.errors import InputError
from infra.produce.labels import LABEL, SCENARIO
from infra.produce.options import reading_options
from infra.runtime.cli_errors import ServiceErrors, StopError, ending_in_one_line
from infra.runtime.moments import Moment
from infra.runtime.services import POSTGRES
from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.decided import DecidedHistory, Judge
from stream_app.commands.backtest.figures import Budget, Figures
from stream_app.commands.backtest.fit import end_of, fit, fittings_of
from stream_app.commands.backtest.labels import LabelsError, read_labels
from stream_app.commands.backtest.options import (
    AS_GIVEN,
    HISTORY,
    MOST_ALERTS,
    BacktestOptions,
    Lateness,
    Span,
)
from stream_app.commands.backtest.outcome import Found, Outcome
from stream_app.commands.backtest.output import OutputError, ScoresFile, written_whole
from stream_app.commands.backtest.report import report
from stream_app.commands.backtest.rows import EARLIEST, LATEST
from stream_app.commands.backtest.run import Run
from stream_app.commands.backtest.source import HistorySource, OpenHistory, rereadable
from stream_app.commands.backtest.terminal import figures_table, notes_of, progress_of
from stream_app.commands.replay.cli import ReplayProgress
from stream_app.detectors import DETECTORS, ensemble_of, is_known, names_in
from stream_app.detectors.decisions import Decisions, decisions_of, read_decisions, write_decisions
from stream_app.scoring import DetectorError
from stream_app.settings import Settings

_INTERRUPTED = 130  # the exit code that shells expect of a command ended by Ctrl-C
_PATH = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.argument("file", required=False, type=_PATH)
@click.option("--from-db", is_flag=True, help="Take the rows in Postgres, by date, in place of FILE.")
@click.option("--detector", help="Which detector, over TXNWATCH_DETECTOR; several with commas.")
@click.option(
    "--decisions",
    type=_PATH,
    metavar="FILE",
    help="What --fit has written: detectors and profiles. With --from-db: history, what was decided then.",
)
@click.option("--against", metavar="OTHER", help="Compare with other detectors, or with a decisions file.")
@click.option(
    "--labels", type=_PATH, metavar="FILE", help="CSV with id and label; user_id and txn_date count, too."
)
@click.option(
    "--labels-late",
    type=Lateness(),
    default=timedelta(0),
    metavar="SPAN",
    help="How long after a transaction its label is known to detectors and --fit, as 7d; given: as it was.",
)
@click.option("--fit", type=_PATH, metavar="OUT", help="Write what FILE teaches as a decisions file.")
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
@reading_options("Score", "label and label_scenario, too.", [LABEL, SCENARIO])
@click.pass_context
def backtest(context: click.Context, /, **options: Any) -> None:
    """Show what a detector would have done with the transactions of a file, or with rows, without Kafka.

    FILE is CSV or JSON lines, also gzipped, oldest first; - is standard input. The worker's own code scores
    it. With a column `label` (1 or 0, fraud or legitimate), precision, recall and what follows are shown.
    """
    given = BacktestOptions(**options)
    given.check()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mine = LabelsError, OutputError, DetectorError, StopError
    with ending_in_one_line(ServiceErrors(str(given.file), (InputError,)), *mine, POSTGRES):
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
        fitted = stack.enter_context(written_whole(given.fit)) if given.fit else None
        source = HistorySource(given, settings, console, read_labels(given.labels) if given.labels else None)
        if fitted is not None and given.file is not None:
            source.file = stack.enter_context(rereadable(given.file))
        contenders = [_contender(one, settings) for one in _several(given, settings, source, fitted)]
        for one in contenders:
            stack.enter_context(one)
        figures = [
            Figures(Budget(given.alerts_per_day) if given.alerts_per_day else None) for _ in contenders
        ]
        late = given.labels_late
        run = Run(contenders, figures, warm_up=given.warm_up, labels_late=late, scores=scores)
        with source.opened() as history, progress_of(history.fraction, console) as run.progress:
            run.through(history.rows)
        outcome = _outcome(run, history)
        if page is not None:
            page.write(report(outcome, figures))
    _print(outcome, as_json=given.as_json)


def _several(
    given: BacktestOptions, settings: Settings, source: HistorySource, fitted: TextIO | None
) -> list[Decisions | None]:
    """What decides, taught by history where that is asked for, and what it is compared with."""
    chosen = _chosen(given, settings)
    if fitted is not None:
        chosen = _fit(given, chosen or Decisions(), source)
        write_decisions(Path(fitted.name), chosen)
    return [chosen, *([_other(given.against, settings)] if given.against else [])]


def _chosen(given: BacktestOptions, settings: Settings) -> Decisions | None:
    """What is asked for by option, decisions file or settings, in this order; None: what was decided then."""
    if given.by_history:
        return None
    if given.decisions:
        decisions = read_decisions(given.decisions)
        return replace(decisions, detector=given.detector or decisions.detector or settings.detector)
    set_by_hand = settings.model_fields_set - ({"detector"} if given.detector else set())
    decisions = decisions_of(settings.decisions, settings.detector, set_by_hand)
    return replace(decisions, detector=given.detector or decisions.detector)


def _other(against: str, settings: Settings) -> Decisions | None:
    """What is compared with: a decisions file, detectors by their names, or None: what was decided then."""
    if against == HISTORY:
        return None
    if Path(against).suffix == ".toml" or Path(against).is_file():
        decisions = read_decisions(Path(against))
        return replace(decisions, detector=decisions.detector or settings.detector)
    if unknown := [name for name in names_in(against) if not is_known(name)]:
        there_is = ", ".join(DETECTORS)
        raise click.UsageError(
            f"--against: {', '.join(unknown)}: no decisions file, and no detector; there is {there_is}"
        )
    return Decisions(against)


def _fit(given: BacktestOptions, chosen: Decisions, source: HistorySource) -> Decisions:
    """The same detectors with what history teaches them."""
    if not (fittings := fittings_of(chosen.detector)):
        raise click.UsageError(
            f"--fit: {chosen.detector} learns nothing of history: choose another with --detector."
        )
    end = given.end or LATEST
    if given.labels_late and given.end is None:
        with source.opened() as history:
            end = end_of(history.rows)
    as_given = given.labels_late == AS_GIVEN
    known_to = end if as_given else end - min(given.labels_late, end - EARLIEST)
    with source.opened() as history:
        return replace(chosen, profiles=fit(history.rows, fittings, known_to, as_given=as_given))


def _contender(one: Decisions | None, settings: Settings) -> Judge:
    """What scores by these, or by what was decided then."""
    if one is None:
        return DecidedHistory(settings, ReplayProgress().tell)
    others = one.shadow_detectors, settings.untaught_statuses, one.profiles, one.rules
    ensemble = ensemble_of(one.detector, *others)
    name = f"{one.detector} and {len(one.rules):,} rules" if one.rules else one.detector
    return Contender(name, ensemble, by_currency=settings.window_by == "currency")


def _outcome(run: Run, history: OpenHistory) -> Outcome:
    found = [
        Found(one.name, one.ran(), figures.summary())
        for one, figures in zip(run.contenders, run.figures, strict=True)
    ]
    looks = run.looks
    against = found[1] if len(found) > 1 else None
    source = run.seen.source(history)
    of_past = [note for one in run.contenders if isinstance(one, DecidedHistory) for note in one.notes]
    source = replace(source, notes=[*source.notes, *of_past])
    return Outcome(source, found[0], against, looks.difference(), looks.examples())


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcome)))
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for note in notes_of(outcome):
        console.print(note)
    found = [one for one in (outcome.found, outcome.against) if one is not None]
    console.print(figures_table([one.name for one in found], [one.figures for one in found]))
