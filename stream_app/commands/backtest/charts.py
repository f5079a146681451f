"""A report's drawings in SVG; their colours are the page's, light or dark."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from html import escape
from itertools import pairwise
from math import log10

from stream_app.commands.backtest.ranks import Ranked

_Point = tuple[float, float]  # both from 0 to 1
_Mark = tuple[float, str]
_WIDTH, _HEIGHT = 460, 240
_LEFT, _TOP, _RIGHT, _BOTTOM = 58, 10, 450, 212
_QUARTERS = [(step / 4, f"{step / 4:g}") for step in range(5)]
_BINS = 48
_SHARES, _FAR = (0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1), 10


def precision_recall(curves: Mapping[str, Sequence[_Point]]) -> str:
    """Precision over recall, a line for each detector."""
    lines = [_line(at, name, points) for at, (name, points) in enumerate(curves.items()) if points]
    return _chart("precision over recall", _QUARTERS, _QUARTERS, lines)


def alerts_by_day(alerts: Mapping[str, Sequence[int]], first: date) -> str:
    """Alerts a day, a line for each detector; the days begin at `first`."""
    most = max([1, *(max(counts, default=0) for counts in alerts.values())])
    length = max(map(len, alerts.values()), default=1)
    lines = [
        _line(at, name, [(day / max(1, length - 1), count / most) for day, count in enumerate(counts)])
        for at, (name, counts) in enumerate(alerts.items())
    ]
    last = date.fromordinal(first.toordinal() + length - 1)
    return _chart("alerts a day", [(0, str(first)), (1, str(last))], _upto(most), lines)


def spread(frauds: Ranked, others: Ranked) -> str:
    """How often scores are, frauds beside the rest; the heights are logarithms."""
    both = Ranked.of_all(frauds, others)
    if not len(both):
        return ""
    low = both.quantile(0.001)
    high = _end([one for one in (frauds, others) if len(one)], low, both.quantile(0.5))
    more = " and more" if both.above(high) else ""
    edges = [low + (high - low) * step / _BINS for step in range(_BINS)]
    counts = [_counts(one, edges) for one in (others, frauds)]
    most = log10(1 + max(map(max, counts)))
    bars = [_bars(f"c{1 - at}", [log10(1 + count) / most for count in one]) for at, one in enumerate(counts)]
    heights = [(log10(1 + 10**power) / most, f"{10**power:,}") for power in range(int(most) + 1)]
    return _chart("scores", [(0, f"{low:.4g}"), (1, f"{high:.4g}{more}")], heights, bars)


def _end(several: Sequence[Ranked], low: float, middle: float) -> float:
    """Where the last bar begins to hold all that is above: before scores that are far from all others.

    Those above a limit of `odds` have a million more, and would leave one bar to the rest.
    """
    marks = sorted({one.quantile(share) for one in several for share in _SHARES})
    above = [mark for mark in marks if mark > middle]
    for mark, following in pairwise(above):
        if following - low > _FAR * (mark - low):
            return mark
    return marks[-1]


def _counts(scores: Ranked, edges: Sequence[float]) -> list[int]:
    reach = [*map(scores.at_least, edges), 0]
    return [here - further for here, further in pairwise(reach)]


def _upto(most: int) -> list[_Mark]:
    return [(0, "0"), (1, f"{most:,}")]


def _place(point: _Point) -> tuple[float, float]:
    return _LEFT + point[0] * (_RIGHT - _LEFT), _BOTTOM - point[1] * (_BOTTOM - _TOP)


def _line(at: int, name: str, points: Iterable[_Point]) -> str:
    places = " ".join("{:.1f},{:.1f}".format(*_place(point)) for point in points)
    return f'<polyline class="line c{at}" points="{places}"><title>{escape(name)}</title></polyline>'


def _bars(style: str, heights: Sequence[float]) -> str:
    width = (_RIGHT - _LEFT) / len(heights)
    places = [(at, *_place((at / len(heights), height))) for at, height in enumerate(heights) if height]
    bars = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{_BOTTOM - y:.1f}"/>'
        for _, x, y in places
    ]
    return f'<g class="bars {style}">{"".join(bars)}</g>'


def _chart(title: str, below: Sequence[_Mark], beside: Sequence[_Mark], drawn: Sequence[str]) -> str:
    marks = [_below(*mark) for mark in below] + [_beside(*mark) for mark in beside]
    inside = "".join([*marks, *drawn])
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{inside}</svg>'


def _below(at: float, text: str) -> str:
    x, _ = _place((at, 0))
    anchor = "end" if at == 1 else "start" if at == 0 else "middle"
    return f'<text x="{x:.1f}" y="{_BOTTOM + 18}" text-anchor="{anchor}">{escape(text)}</text>'


def _beside(at: float, text: str) -> str:
    _, y = _place((0, at))
    rule = f'<line class="rule" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{rule}<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
