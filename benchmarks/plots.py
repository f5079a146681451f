"""Pictures of results, as SVG that is the same whenever it is made of the same numbers."""
# mypy: disable-error-code="import-not-found,no-any-unimported"

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.result import Cell, Result

OURS, THEIRS = "#1f6feb", "#9aa4b2"
RACES = ("state", "whole")


def plot(result: Result, path: Path) -> bool:
    """Draw the result if it is one that a picture helps; whether it is."""
    draw = DRAWN.get(result.name)
    if draw is None or not result.rows:
        return False
    with mpl.rc_context({"svg.hashsalt": "txnwatch", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7.5, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, result)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _race(axes: Axes, result: Result) -> None:
    """A bar each, from the slowest round to the fastest a line."""
    rows = [row for row in reversed(result.rows) if row.get("rate") is not None]
    names = [str(row["contender"]) for row in rows]
    rates = _numbers(rows, "rate")
    below = [rate - low for rate, low in zip(rates, _numbers(rows, "lowest"), strict=True)]
    above = [high - rate for rate, high in zip(rates, _numbers(rows, "highest"), strict=True)]
    colours = [OURS if name == "txnwatch" else THEIRS for name in names]
    bars = axes.barh(names, rates, xerr=[below, above], color=colours, ecolor="#57606a", capsize=3)
    axes.bar_label(bars, labels=[f"{rate:,.0f}" for rate in rates], padding=8)
    axes.set_xlabel("transactions a second (median; line: slowest to fastest round)")
    axes.margins(x=0.2)


def _latency(axes: Axes, result: Result) -> None:
    """A line for each percentile, over the rates."""
    for until, colour in (("row", THEIRS), ("event", OURS)):
        rows = [row for row in result.rows if row.get("until") == until]
        for key, style in (("p50", ":"), ("p99", "-"), ("p999", "--")):
            label = f"{until}, {key.replace('p999', 'p99.9')}"
            axes.plot(
                _numbers(rows, "rate"), _numbers(rows, key), style, color=colour, marker="o", label=label
            )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("transactions sent a second")
    axes.set_ylabel("ms since each was due")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _growth(axes: Axes, result: Result) -> None:
    """A bar each step."""
    rows = [row for row in reversed(result.rows) if row.get("rate") is not None]
    names = [f"{row['users']:,.0f} users, {row['workers']:.0f} w." for row in rows]
    bars = axes.barh(names, _numbers(rows, "rate"), color=OURS)
    axes.bar_label(bars, labels=[f"{rate:,.0f}" for rate in _numbers(rows, "rate")], padding=4)
    axes.set_xlabel("transactions a second, whole")
    axes.margins(x=0.15)


def _numbers(rows: list[dict[str, Cell]], key: str) -> list[float]:
    return [cell if isinstance(cell := row.get(key), int | float) else float("nan") for row in rows]


DRAWN: dict[str, Callable[[Axes, Result], None]] = {
    **dict.fromkeys(RACES, _race),
    "latency": _latency,
    "growth": _growth,
}
