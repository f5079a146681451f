"""Dates: text of any form, counted since 1970, or steps since a day; always exact, and never guessed."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from schemas.mapping.columns import Column, Quick, column_of
from schemas.mapping.formats import compiled
from schemas.mapping.paths import Record, getter, values_of
from schemas.mapping.spec import DateSpec
from schemas.mapping.texts import text_getter
from schemas.mapping.values import text_of
from schemas.refusal import excerpt

DateReader: TypeAlias = Callable[[Record], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS: Final = {
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
}
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r" ?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?",
)
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_ALL_USUAL = re.compile(rf"(?:{_USUAL.pattern}(?:\n|\Z))*+")
_NUMBER = re.compile(r"(-?[0-9]{1,20})(?:\.([0-9]{1,20}))?(?:[eE]\+?([0-9]{1,2}))?")
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-/]{0,60}")
NO_ZONE = 'has no offset from UTC: say zone = "UTC", or where the clock was, as zone = "Europe/Rome"'
_MIDNIGHT = 'has no time of day: say format = "%Y-%m-%d" to take it as the midnight it begins with'


def date_reader(spec: DateSpec) -> DateReader:
    """What reads the date of a record, in UTC; it raises ValueError where that cannot be told."""
    if spec.epoch or spec.unit:
        return _counted(spec)
    read, in_utc = _text_reader(spec), _in_utc(spec)

    def moment(record: Record) -> datetime:
        found = read(record)
        return found if found.tzinfo is UTC else in_utc(found, record)

    return moment


def date_column(spec: DateSpec) -> Column:
    """What reads the dates of many records, as `date_reader` does of each."""
    read = date_reader(spec)
    if not isinstance(spec.source, str) or spec.remove:
        return column_of(read)
    return column_of(read, _counts(spec) if spec.epoch or spec.unit else _moments(spec))


def _moments(spec: DateSpec) -> Quick:
    """What reads dates that say their offset from UTC."""
    values, is_usual = values_of(str(spec.source)), not spec.format

    def quick(records: Sequence[Record]) -> list[datetime]:
        found = values(records)
        if is_usual and isinstance(found[0], str):
            if not _ALL_USUAL.fullmatch("\n".join(found)):
                raise ValueError
            found = [*map(datetime.fromisoformat, found)]
        elif {*map(type, found)} != {datetime}:
            raise ValueError
        zones = {date.tzinfo for date in found}
        if None in zones:
            raise ValueError
        return found if zones == {UTC} else [date.astimezone(UTC) for date in found]

    return quick


def _counts(spec: DateSpec) -> Quick:
    """What reads dates that are counted in whole numbers."""
    values, since, factor, divisor = values_of(str(spec.source)), begin_of(spec), *_steps(spec)

    def quick(records: Sequence[Record]) -> list[datetime]:
        found = values(records)
        if {*map(type, found)} != {int}:
            raise ValueError
        return [since + timedelta(microseconds=one * factor // divisor) for one in found]

    return quick


def _steps(spec: DateSpec) -> tuple[int, int]:
    """A unit in microseconds, as a fraction."""
    return _MICROSECONDS.get(spec.epoch or spec.unit, 1), 1_000 if spec.epoch == "ns" else 1


def _text_reader(spec: DateSpec) -> DateReader:
    """What reads a date that may lack its zone."""
    parse = _parser(spec)
    if not isinstance(spec.source, str):
        getters = [text_getter(source, spec.remove) for source in spec.source]
        return lambda record: parse(" ".join(get(record) for get in getters).strip())
    value_of, removed = getter(spec.source), str.maketrans("", "", spec.remove)

    def read(record: Record) -> datetime:
        value = value_of(record)
        if isinstance(value, datetime):
            return value
        text = text_of(value)
        return parse(text.translate(removed) if removed else text)

    return read


def _parser(spec: DateSpec) -> Callable[[str], datetime]:
    formats = [spec.format] if isinstance(spec.format, str) else spec.format
    parsers = [compiled(one) for one in formats]

    def parse(text: str) -> datetime:
        for parser in parsers:
            if (found := parser(text)) is not None:
                return found
        raise ValueError(
            f"{excerpt(text)} is not of the format {' or '.join(formats)}" if text else "missing"
        )

    return parse if formats else _rfc_3339


def _rfc_3339(text: str) -> datetime:
    if _USUAL.fullmatch(text):
        return datetime.fromisoformat(text)
    if _RFC_3339.fullmatch(text):
        return datetime.fromisoformat(text.upper().replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))
    if not text:
        raise ValueError("missing")
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{text} {_MIDNIGHT}")
    raise ValueError(
        f'{excerpt(text)} is no RFC 3339: say format = "%d/%m/%Y %H:%M" or the like, or epoch = "ms"'
    )


def _in_utc(spec: DateSpec) -> Callable[[datetime, Record], datetime]:
    """What puts a date into UTC that may lack its zone."""
    zone_of, choice = _zone_reader(spec), spec.clock_change

    def in_utc(found: datetime, record: Record) -> datetime:
        try:
            if found.tzinfo is not None:
                return found.astimezone(UTC)
            return _localised(found, zone_of(record, found), choice)
        except OverflowError:
            raise ValueError(f"{found} is not in the years 1 to 9999 in UTC") from None

    return in_utc


def _zone_reader(spec: DateSpec) -> Callable[[Record, datetime], tzinfo]:
    if spec.zone:
        fixed = zone_named(spec.zone)
        return lambda _record, _found: fixed
    if spec.zone_from is None:
        return _no_zone
    read, zones = text_getter(spec.zone_from), spec.zones

    def zone(record: Record, found: datetime) -> tzinfo:
        text = read(record)
        return zone_named(zones.get(text, text)) if text else _no_zone(record, found)

    return zone


def _no_zone(_: Record, found: datetime) -> tzinfo:
    raise ValueError(f"{found} {NO_ZONE}")


@lru_cache(maxsize=1024)
def zone_named(text: str) -> tzinfo:
    """The zone of a name, as Europe/Rome, or an offset, as +05:30.

    Raises:
        ValueError: There is none.
    """
    if text in {"UTC", "Z", "GMT"}:
        return UTC
    try:
        if found := _OFFSET.fullmatch(text):
            offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
            return timezone(offset if found[1] == "+" else -offset)
        if _ZONE.fullmatch(text):
            return ZoneInfo(text)
    except (KeyError, OSError, ValueError):
        pass
    raise ValueError(
        f"{excerpt(text)} is no zone: give one such as Europe/Rome, UTC or +05:30, or zones = {{…}}"
    )


def _localised(found: datetime, zone: tzinfo, choice: str) -> datetime:
    """A time of a clock in UTC: where clocks are changed it may be one of two, and then it has to be said."""
    one = found.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if zone is UTC or isinstance(zone, timezone):
        return one
    other = found.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if one == other:
        return one
    if choice == "refuse":
        what = "occurs twice" if one < other else "does not occur"
        raise ValueError(
            f"{found} {what} in {zone}, where clocks are changed: say clock_change = "
            f'"earlier" ({min(one, other):%H:%M} UTC) or "later" ({max(one, other):%H:%M} UTC)'
        )
    return min(one, other) if choice == "earlier" else max(one, other)


def _counted(spec: DateSpec) -> DateReader:
    source = spec.source if isinstance(spec.source, str) else spec.source[0]
    read, since = text_getter(source, spec.remove), begin_of(spec)
    factor, divisor = _steps(spec)

    def moment(record: Record) -> datetime:
        text = read(record)
        try:
            return since + timedelta(microseconds=_whole(text, factor) // divisor)
        except OverflowError:
            raise ValueError(f"{excerpt(text)} is not in the years 1 to 9999 {_unit_way(spec)}") from None

    return moment


def _unit_way(spec: DateSpec) -> str:
    return (
        f'as epoch = "{spec.epoch}": is it in ms, us or ns?' if spec.epoch else f"in steps of a {spec.unit}"
    )


def _whole(text: str, factor: int) -> int:
    """So many microseconds; what is less than one is cut."""
    if text.isascii() and text.isdigit() and len(text) <= 20:  # noqa: PLR2004 - nanoseconds of year 9999
        return int(text) * factor
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{excerpt(text)} is no number" if text else "missing")
    units, decimals, exponent = found.groups(default="")
    digits = int(units + decimals) * factor * int("1" + "0" * int(exponent or 0))
    return digits // int("1" + "0" * len(decimals))


def begin_of(spec: DateSpec) -> datetime:
    """Where counting begins.

    Raises:
        ValueError: It is no date, or has no zone.
    """
    if spec.epoch:
        return _EPOCH
    try:
        since = datetime.fromisoformat(spec.since)
    except ValueError:
        raise ValueError(f"{spec.since!a} is no date such as 2017-11-30") from None
    try:
        if since.tzinfo:
            return since.astimezone(UTC)
        return _localised(since, zone_named(spec.zone), spec.clock_change)
    except OverflowError:
        raise ValueError(f"{since} is not in the years 1 to 9999 in UTC") from None
