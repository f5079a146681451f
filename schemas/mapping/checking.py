"""What is wrong with a mapping whose tables are right by themselves."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from schemas.fast_path import MAX_CHANNEL, MAX_IDENTIFIER, MAX_STATUS
from schemas.mapping.dates import NO_ZONE, begin_of, zone_named
from schemas.mapping.formats import compiled, has_zone
from schemas.mapping.paths import parts_of
from schemas.mapping.positions import Path
from schemas.mapping.spec import AmountSpec, Condition, DateSpec, IdSpec, MetaDataSpec, SourceSpec, TextSpec

Faults: TypeAlias = Iterator[tuple[Path, str]]
LONGEST: Mapping[str, int] = {
    "currency": 3,
    "status": MAX_STATUS,
    "merchant_id": MAX_IDENTIFIER,
    "card_id": MAX_IDENTIFIER,
    "country": 2,
    "channel": MAX_CHANNEL,
}
"""Characters of each text."""
_LETTERS = {
    "currency": (re.compile("[A-Za-z]{3}"), "three letters, as EUR"),
    "country": (re.compile("[A-Za-z]{2}"), "two letters, as IT"),
}
_OF_SOURCES = ("values", "otherwise", "default", "cut", "remove")
_TESTS = ("is", "in", "not", "not_in", "starts", "present")


def faults_of(parts: Mapping[str, Any]) -> Faults:
    """The faults of all tables, each with its path; a table that is None is passed over."""
    for name, part in parts.items():
        check = _CHECKS.get(type(part))
        for path, sentence in check(name, part) if check else ():
            yield (name, *path), sentence
    for place, condition in enumerate(parts.get("only") or ()):
        for path, sentence in _condition(condition):
            yield ("only", str(place), *path), sentence


def _paths(key: str, given: str | list[str] | None) -> Faults:
    for path in [given] if isinstance(given, str) else given or ():
        try:
            parts_of(path)
        except ValueError as error:
            yield (key,), str(error)


def _one_of(spec: IdSpec | TextSpec, value: str | None) -> Faults:
    if (spec.source is None) == (value is None):
        yield (), 'say either from = "…" or value = "…"'


def _id(_: str, spec: IdSpec) -> Faults:
    yield from _one_of(spec, spec.value or None)
    yield from _paths("from", spec.source)
    if spec.source == "*" and spec.read != "hash":
        yield ("from",), 'all values ("*") make an id with read = "hash" alone'
    if spec.value and spec.read != "uuid5":
        yield ("value",), 'an id for all records is made of a text: say read = "uuid5"'


def _amount(_: str, spec: AmountSpec) -> Faults:
    yield from _paths("from", spec.source)
    if spec.decimal not in {"", ".", ","}:
        yield ("decimal",), 'the mark before the decimals is "." or ","'
    if spec.thousands not in {"", ".", ",", "'", " "}:
        yield ("thousands",), """the mark between thousands is ".", ",", "'" or " \""""
    if spec.decimal and spec.decimal == spec.thousands:
        yield ("thousands",), "the same mark stands before the decimals"
    if spec.exponents and spec.minor_units is not True:
        yield ("exponents",), "say minor_units = true: only these depend on the currency"


def _date(_: str, spec: DateSpec) -> Faults:
    yield from _paths("from", spec.source)
    yield from _paths("zone_from", spec.zone_from)
    ways = [name for name in ("format", "epoch", "unit") if getattr(spec, name)]
    if len(ways) > 1:
        yield (ways[1],), f"{' and '.join(ways)} exclude each other"
    elif spec.epoch or spec.unit:
        yield from _counted(spec)
    else:
        yield from _written(spec)
    if spec.zones and not spec.zone_from:
        yield ("zones",), 'say which value has these words: zone_from = "…"'
    for path, zone in [
        (("zone",), spec.zone or "UTC"),
        *((("zones", word), zone) for word, zone in spec.zones.items()),
    ]:
        yield from _tried(path, zone_named, zone)


def _tried(path: Path, act: Callable[[Any], object], given: object) -> Faults:
    try:
        act(given)
    except ValueError as error:
        yield path, str(error)


def _counted(spec: DateSpec) -> Faults:
    if not isinstance(spec.source, str):
        yield ("from",), "what counts is one number"
    if spec.unit and not spec.since:
        yield ("unit",), "say where steps begin: since = 2017-11-30"
    if spec.unit and spec.since and not spec.zone and not re.search(r"[Zz]|:.*[+-]", spec.since):
        yield ("since",), f"{spec.since} {NO_ZONE}"
    elif spec.since:
        yield from _tried(("since",), begin_of, spec)


def _written(spec: DateSpec) -> Faults:
    formats = [spec.format] if isinstance(spec.format, str) else spec.format
    if not isinstance(spec.source, str) and not formats:
        yield ("from",), 'several values are joined by a space: say format = "%Y %m %d %H:%M" or the like'
    if spec.since:
        yield ("since",), 'say unit = "second", "minute", "hour" or "day": only steps begin somewhere'
    for format_ in formats:
        yield from _tried(("format",), compiled, format_)
        if not (has_zone(format_) or spec.zone or spec.zone_from):
            yield ("format",), f"{format_} {NO_ZONE}"


def _text(name: str, spec: TextSpec) -> Faults:
    yield from _one_of(spec, spec.value)
    yield from _paths("from", spec.source)
    if spec.source is None and (idle := [key for key in _OF_SOURCES if getattr(spec, key)]):
        yield (idle[0],), "it changes what comes from a value of the record: say from"
    if spec.when is not None:
        for path, sentence in _condition(spec.when):
            yield ("when", *path), sentence
    said = [("value", spec.value), ("default", spec.default), ("otherwise", spec.otherwise)]
    for path, text in [
        *(((key,), text) for key, text in said),
        *((("values", key), text) for key, text in spec.values.items()),
    ]:
        if text and text != "*" and (why := _unfit(name, text)):
            yield path, f"{text[:60]!r} is not {why}"


def _unfit(name: str, text: str) -> str:
    form, words = _LETTERS.get(name, (None, ""))
    if form is not None:
        return "" if form.fullmatch(text) else words
    return f"of at most {LONGEST[name]} characters" if len(text) > LONGEST[name] else ""


def _meta_data(_: str, spec: MetaDataSpec) -> Faults:
    yield from _paths("from", spec.source)
    yield from _paths("keep", None if spec.keep == "rest" else spec.keep)
    if spec.drop and spec.keep != "rest":
        yield ("drop",), 'it takes from keep = "rest" alone'


def _source(_: str, spec: SourceSpec) -> Faults:
    if spec.delimiter and spec.delimiter in '"\r\n\0':
        yield ("delimiter",), "no columns have this between them"
    if spec.encoding:
        yield from _tried(("encoding",), _codec, spec.encoding)


def _codec(name: str) -> None:
    try:
        "".encode(name)
    except LookupError as error:
        raise ValueError(f"{name!a} is no encoding: say utf-8 or latin-1, for example") from error


def _condition(condition: Condition) -> Faults:
    yield from _paths("from", condition.source)
    given = [
        condition.equals,
        condition.one_of,
        condition.differs,
        condition.none_of,
        condition.starts,
        condition.present,
    ]
    if sum(one is not None for one in given) != 1:
        yield (), f"a condition has exactly one of {', '.join(_TESTS)}"


_CHECKS: Mapping[type, Callable[[str, Any], Faults]] = {
    IdSpec: _id,
    AmountSpec: _amount,
    DateSpec: _date,
    TextSpec: _text,
    MetaDataSpec: _meta_data,
    SourceSpec: _source,
}
