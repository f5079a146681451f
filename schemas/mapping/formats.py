"""Formats of dates, as `strptime` has them, compiled: a third of its time, and no word of a locale."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

_LONG = (
    "january|february|march|april|may|june|july|august|september|october|november|december|"
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
)
MONTHS: Final = {name: at % 12 + 1 for at, name in enumerate(_LONG.split("|"))}
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tue|wed|thu|fri|sat|sun"
_ONE_OR_TWO = "[0-9]{1,2}"
_PATTERNS: Final = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    **dict.fromkeys("mdHIMS", _ONE_OR_TWO),
    "f": "[0-9]{1,9}",
    "p": r"am|pm|a\.m\.|p\.m\.",
    **dict.fromkeys("bB", _LONG),
    **dict.fromkeys("aA", _DAYS),
    "z": "z|[+-][0-9]{2}(?::?[0-9]{2})?",
}
_SHORT: Final = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "R": "%H:%M", "D": "%m/%d/%y"}
_PLAIN: Final = ("Ymd", "YmdHM", "YmdHMS")
_TOKEN = re.compile(r"%(.?)|(\s+)|([^%\s]+)", re.DOTALL)
_CENTURY_TURNS = 69  # as POSIX has it: 69 to 99 are of the last century
_NOON = 12
Parser = Callable[[str], datetime | None]


def has_zone(format_: str) -> bool:
    """Whether dates of this format say their offset from UTC."""
    return "%z" in format_.replace("%%", "")


def compiled(format_: str) -> Parser:
    """What reads the dates of a format: None where a text is of another.

    Raises:
        ValueError: It is no such format; or, of what it reads, the text is of the format but no date.

    >>> compiled("%d.%m.%y %H:%M")("1.4.18 9:05")
    datetime.datetime(2018, 4, 1, 9, 5)
    """
    form, letters = _form(format_)
    for needed, names in (("year", "Yy"), ("month", "mbB"), ("day", "d")):
        if not set(names) & letters:
            raise ValueError(f"{format_} has no {needed}: %{' or %'.join(names)}")
    if ("I" in letters) != ("p" in letters):
        raise ValueError(f"{format_}: %I and %p (am or pm) go together; a clock of 24 hours is %H")

    if plain := next((names for names in _PLAIN if {*names} == letters), ""):
        return _of_numbers(form, plain)

    def parse(text: str) -> datetime | None:
        found = form.fullmatch(text)
        return _date(found.groupdict()) if found else None

    return parse


def _of_numbers(form: re.Pattern[str], names: str) -> Parser:
    """What reads dates of numbers alone, which most are."""

    def parse(text: str) -> datetime | None:
        found = form.fullmatch(text)
        # The zone may be said elsewhere.
        return datetime(*map(int, found.group(*names))) if found else None  # type: ignore[arg-type]  # noqa: DTZ001

    return parse


def _form(format_: str) -> tuple[re.Pattern[str], set[str]]:
    for short, whole in _SHORT.items():
        format_ = format_.replace(f"%{short}", whole)
    letters: list[str] = []
    pattern = "".join(_piece(found, letters) for found in _TOKEN.finditer(format_))
    if doubled := [letter for letter in letters if letters.count(letter) > 1]:
        raise ValueError(f"{format_} has %{doubled[0]} more than once")
    return re.compile(pattern, re.IGNORECASE | re.ASCII), set(letters)


def _piece(found: re.Match[str], letters: list[str]) -> str:
    letter, space, other = found.groups()
    if letter is None:
        return r"\s+" if space else re.escape(other)
    if letter == "%":
        return "%"
    if letter not in _PATTERNS:
        known = " ".join(f"%{name}" for name in (*_PATTERNS, *_SHORT))
        raise ValueError(f"%{letter} is not known; there are {known}")
    letters.append(letter)
    return f"(?P<{letter}>{_PATTERNS[letter]})"


def _date(parts: dict[str, str]) -> datetime:
    get = parts.get
    fraction = get("f")
    return datetime(
        int(parts["Y"]) if "Y" in parts else _year(int(parts["y"])),
        int(parts["m"]) if "m" in parts else MONTHS[(get("b") or parts["B"]).lower()],
        int(parts["d"]),
        int(parts["H"]) if "H" in parts else _hour(parts),
        int(get("M") or 0),
        int(get("S") or 0),
        int(fraction[:6].ljust(6, "0")) if fraction else 0,
        _offset(parts["z"]) if "z" in parts else None,
    )


def _year(short: int) -> int:
    return short + (1900 if short >= _CENTURY_TURNS else 2000)


def _hour(parts: dict[str, str]) -> int:
    if "I" not in parts:
        return 0
    hour = int(parts["I"])
    if not 1 <= hour <= _NOON:
        raise ValueError(f"there is no hour {hour} before or after noon")
    return hour % _NOON + (_NOON if parts["p"].lower().startswith("p") else 0)


def _offset(text: str) -> tzinfo:
    if text in "zZ":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text.startswith("-") else offset)
