"""How the dates of a column are written, as far as their values tell."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise, product
from typing import Final

from infra.mapping.sample import SeenValues
from schemas.mapping.dates import zone_named
from schemas.mapping.formats import Parser, compiled

_DAYS: Final = (
    *("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%a, %d %b %Y", "%Y%m%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%y"),
)
_TIMES: Final = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M:%S %p", "%I:%M %p", "%H%M%S")
_BETWEEN: Final = (" ", "T", ", ")
_ZONES: Final = ("", "%z", " %z")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?[APap][Mm])?")
_DAY, _TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?"
_RFC_3339 = re.compile(f"{_DAY}[Tt ]{_TIME}( ?([Zz]|[+-][0-9:]{{2,6}}))?")
_OFFSET = re.compile(r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$")
_COUNTED = re.compile(r"[0-9]{9,19}(?:\.[0-9]+)?")
_ZONED = re.compile(r" ?([Zz]|[+-][0-9]{2}:?[0-9]{2})$")
_DIRECTIVE = re.compile("%(.)")
_EPOCHS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ABBREVIATIONS: Final = {
    "BST": "+01:00",
    "CET": "+01:00",
    "CEST": "+02:00",
    "IST": "+05:30",
    "EST": "-05:00",
    "EDT": "-04:00",
    "CST": "-06:00",
    "CDT": "-05:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "PST": "-08:00",
    "PDT": "-07:00",
}
"""What programs of payments mean by words for zones that are no names of zones."""
_COUNTING = frozenset(["step", "time", "seconds", "second", "dt", "day", "days", "hour", "tick", "t"])
_SINCE, _UNTIL = datetime(1995, 1, 1, tzinfo=UTC).timestamp(), datetime(2040, 1, 1, tzinfo=UTC).timestamp()
_TRIED = 2_000


@dataclass
class DateForm:
    """The keys of a mapping's `[txn_date]`."""

    keys: dict[str, object] = field(default_factory=dict)
    has_zone: bool = False
    has_time: bool = True
    others: list[str] = field(default_factory=list)
    """Formats that fit as well and mean other dates."""


def form_of(seen: SeenValues) -> DateForm | None:
    """How the dates of a column are written; None where these are no dates."""
    if not seen.values:
        return None
    if all(isinstance(value, date) for value in seen.values):
        return _of_objects(seen.values)
    texts = sorted(seen.distinct)
    if epoch := _epoch(texts):
        return epoch
    if all(map(_RFC_3339.fullmatch, texts)):
        return DateForm(has_zone=all(_OFFSET.search(text[10:]) for text in texts))
    fitting = formats_of(texts[:: max(1, len(texts) // _TRIED)])
    return (
        DateForm({"format": fitting[0]}, "%z" in fitting[0], _has_time(fitting[0]), fitting[1:])
        if fitting
        else None
    )


def formats_of(texts: Sequence[str]) -> list[str]:
    """The formats that all of these fit, of which no two mean the same."""
    means: dict[tuple[object, ...], str] = {}
    for format_, parser in _candidates(texts[0]):
        found = _read(parser, texts)
        if found is not None:
            means.setdefault(found, format_)
    return [*means.values()]


def is_clock(seen: SeenValues) -> bool:
    """Whether all values are times of a day."""
    return bool(seen.texts) and all(map(_CLOCK.fullmatch, seen.distinct))


def counts_up(seen: SeenValues) -> bool:
    """Whether the values are numbers that never go down, under a name of time."""
    if not _COUNTING & {*seen.words} or len(seen.values) < seen.count:
        return False
    try:
        numbers = [float(text) for text in seen.texts]
    except ValueError:
        return False
    return min(numbers) >= 0 and all(one <= following for one, following in pairwise(numbers))


def zones_of(seen: SeenValues) -> dict[str, str] | None:
    """What the words for zones mean that are no names of zones; None where that is not known of all."""
    found: dict[str, str] = {}
    for word in sorted(seen.distinct):
        if word in _ABBREVIATIONS:
            found[word] = _ABBREVIATIONS[word]
        else:
            try:
                zone_named(word)
            except ValueError:
                return None
    return found


def _of_objects(values: Sequence[object]) -> DateForm:
    if not all(isinstance(value, datetime) for value in values):
        return DateForm({"format": "%Y-%m-%d"}, has_time=False)
    return DateForm(
        has_zone=all(isinstance(value, datetime) and value.tzinfo is not None for value in values)
    )


def _epoch(texts: Sequence[str]) -> DateForm | None:
    if not all(map(_COUNTED.fullmatch, texts)):
        return None
    numbers = [int(text.partition(".")[0]) for text in texts]
    for unit, parts in _EPOCHS.items():
        if _SINCE * parts <= min(numbers) and max(numbers) < _UNTIL * parts:
            return DateForm({"epoch": unit}, has_zone=True)
    return None


def _has_time(format_: str) -> bool:
    return "%H" in format_ or "%I" in format_


def _candidates(text: str) -> Iterator[tuple[str, Parser]]:
    """The formats that the first text fits."""
    for format_ in _by_shape().get(_shape(text), ()):
        parser = compiled(format_)
        if _read(parser, [text]) is not None:
            yield format_, parser


@cache
def _by_shape() -> dict[str, list[str]]:
    """All formats by their shape: trying each on a text would take a second."""
    found: dict[str, list[str]] = {}
    timed = ("".join(parts) for parts in product(_DAYS, _BETWEEN, _TIMES, _ZONES))
    for format_ in (*_DAYS, *timed):
        found.setdefault(_shape(_DIRECTIVE.sub(_stand_in, format_)), []).append(format_)
    return found


def _shape(text: str) -> str:
    """A text with one letter for all digits, and one for all others, that follow each other."""
    zoneless = _ZONED.sub("", text) if ":" in text else text
    return re.sub("[^\\W\\d_]+", "a", re.sub("[0-9]+", "1", zoneless))


def _stand_in(found: re.Match[str]) -> str:
    letter = found[1]
    return "Z" if letter == "z" else "x" if letter in "abBp" else "1"


def _read(parser: Parser, texts: Sequence[str]) -> tuple[object, ...] | None:
    try:
        found = tuple(map(parser, texts))
    except ValueError:
        return None
    return None if None in found else found
