"""The report: one HTML file that needs nothing else, neither network nor script."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from string import Template

from stream_app.commands.backtest import charts
from stream_app.commands.backtest.figures import Figures
from stream_app.commands.backtest.looks import KINDS
from stream_app.commands.backtest.outcome import Example, Found, Outcome
from stream_app.commands.backtest.ranks import Ranked
from stream_app.commands.backtest.terminal import figure_lines, notes_of, score_text

_PAGE = Template((Path(__file__).parent / "report.html").read_text())
_LABELS = {True: "fraud", False: "legitimate", None: ""}


def report(outcome: Outcome, figures: Sequence[Figures]) -> str:
    """The page; `figures` are those of the detector and of the one that it is compared with."""
    found = [one for one in (outcome.found, outcome.against) if one is not None]
    names = _names(found)
    return _PAGE.substitute(
        title=escape(f"{names[0]} on {outcome.source.name}"),
        notes="".join(f"<p>{escape(note)}</p>" for note in notes_of(outcome)),
        figures=_figures(names, found),
        charts=_charts(dict(zip(names, figures, strict=True))),
        examples="".join(_examples(KINDS[kind], some) for kind, some in outcome.examples.items()),
        rules=_table(["", "rule", "flags", "score from", "settings", "profile"], _rules(found)),
    )


def _names(found: Sequence[Found]) -> list[str]:
    """Each one's name; the same one with another profile has its rule beside it."""
    names = [one.name for one in found]
    if len({*names}) == len(names):
        return names
    return [f"{one.name} ({', '.join(its.rule for its in one.detectors)})" for one in found]


def _figures(names: Sequence[str], found: Sequence[Found]) -> str:
    heads = "".join(f'<th class="key{at}">{escape(name)}</th>' for at, name in enumerate(names))
    rows = "".join(
        f"<tr><th>{escape(what)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for what, cells in figure_lines([one.figures for one in found])
    )
    return f'<table class="figures"><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _charts(figures: Mapping[str, Figures]) -> str:
    mine, drawn = next(iter(figures.values())), []
    if len(mine.frauds):
        curves = {name: one.ranking().curve for name, one in figures.items()}
        drawn.append(("Precision over recall", charts.precision_recall(curves)))
    if mine.days:
        alerts = {name: [one.alerts[day] for day in mine.days] for name, one in figures.items()}
        drawn.append(("Alerts a day (UTC)", charts.alerts_by_day(alerts, date.fromordinal(mine.days[0]))))
    spread = charts.spread(mine.frauds, Ranked.of_all(mine.others, mine.unlabelled))
    drawn.append(("How often each score is: frauds before the rest, in logarithms", spread))
    return "".join(
        f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>" for caption, drawing in drawn
    )


def _examples(title: str, some: Iterable[Example]) -> str:
    rows = [
        [
            one.txn_date,
            f"{one.currency} {one.amount}",
            score_text(one.score),
            _LABELS[one.fraud],
            one.sentence,
            one.id,
        ]
        for one in some
    ]
    head = ["date", "amount", "score", "label", "why", "transaction"]
    return f'<h2>{escape(title)}</h2><div class="scroll">{_table(head, rows)}</div>'


def _rules(found: Sequence[Found]) -> Iterable[Sequence[str]]:
    for one in found:
        for its in one.detectors:
            settings = (
                ", ".join(f"{name} {value}" for name, value in its.settings.items())
                .replace(",", ", ")
                .replace("  ", " ")
            )
            start, profile = score_text(its.threshold), its.profile or "none"
            yield [its.detector, its.rule, its.sentence, start, settings, profile]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
