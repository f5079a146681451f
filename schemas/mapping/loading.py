"""Mappings as TOML, with all faults at the line and column of the file."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple, get_args

import msgspec

from schemas.mapping.checking import faults_of
from schemas.mapping.positions import Path, nearest, positions
from schemas.mapping.spec import MappingSpec
from schemas.places import pointed

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")
_LONGEST = 1_000_000
_NEEDED = ("id", "user_id", "amount", "txn_date", "currency", "status")
_FROM = 'from = "…"'
_EXAMPLES = {"currency": f'{_FROM} or value = "EUR"', "status": f'{_FROM} or value = "settled"'}


class _Fault(NamedTuple):
    path: Path
    sentence: str


class MappingError(ValueError):
    """A mapping cannot be used; `str()` has each fault with its place, a line of the file and a mark."""


def load_mapping(text: str, name: str = "mapping.toml") -> MappingSpec:
    """The mapping of a file's text; `name` is what messages call the file.

    Raises:
        MappingError: It cannot be used.
    """
    table = _table(text, name)
    faults = [*_unknown(table), *_lacking(table)]
    parts = {key: _part(key, value, faults) for key, value in table.items() if key in _TYPES}
    faults += (_Fault(path, sentence) for path, sentence in faults_of(parts))
    if faults:
        raise MappingError(_said(text, name, faults))
    return MappingSpec(**parts)


def _table(text: str, name: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise MappingError(f"{name}: longer than {_LONGEST:,} characters")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of a number of more than 4,300 digits
        raise MappingError(_not_toml(text, name, str(error))) from None


def _not_toml(text: str, name: str, said: str) -> str:
    if (place := _PLACE.search(said)) is None:
        return f"{name}: {said}"
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    at = starts[int(place[1]) - 1] + int(place[2]) - 1 if place[1] else len(text.rstrip())
    return pointed(text, min(at, len(text)), name, said[: place.start()])


_TYPES: Mapping[str, Any] = {field.name: field.type for field in msgspec.structs.fields(MappingSpec)}


def _unknown(table: Mapping[str, Any]) -> Iterator[_Fault]:
    for key in table.keys() - _TYPES.keys():
        yield _Fault((key,), f"{key} is not known; there are {', '.join(_TYPES)}")


def _lacking(table: Mapping[str, Any]) -> Iterator[_Fault]:
    for key in _NEEDED:
        if key not in table:
            yield _Fault((), f"[{key}] is missing: say {_EXAMPLES.get(key, _FROM)} under it")


def _part(key: str, value: Any, faults: list[_Fault]) -> Any:
    """A table of the file by its type; what is wrong with it is added to the faults."""
    if key == "txn_date" and isinstance(value, dict) and isinstance(value.get("since"), date):
        value = {**value, "since": value["since"].isoformat()}
    try:
        return msgspec.convert(value, _TYPES[key])
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        inner = tuple(re.findall(r"[A-Za-z_]+|[0-9]+", place))
        named = re.search("unknown field `([^`]*)`", what)
        faults.append(_Fault((key, *inner, *([named[1]] if named else [])), what + _choice(key, inner, what)))
        return None


def _choice(key: str, path: Path, what: str) -> str:
    """What might be said instead."""
    spec = next(
        (kind for kind in (_TYPES[key], *get_args(_TYPES[key])) if hasattr(kind, "__struct_fields__")), None
    )
    known = {one.encode_name: one.type for one in msgspec.structs.fields(spec)} if spec else {}
    if "unknown field" in what and not path:
        return f"; there are {', '.join(known)}"
    if what.startswith("Invalid enum value") and path:
        return f"; there are {', '.join(_words(known.get(path[-1])))}"
    return ""


def _words(kind: object) -> list[str]:
    """The texts that a type is made of."""
    if isinstance(kind, str):
        return [kind] if kind else []
    return [word for part in get_args(kind) for word in _words(part)]


def _said(text: str, name: str, faults: list[_Fault]) -> str:
    found = positions(text)
    placed = [(nearest(found, fault.path), fault.sentence) for fault in faults]
    placed.sort(key=lambda one: -1 if one[0] is None else one[0])
    return "\n".join(
        f"{name}: {sentence}" if at is None else pointed(text, at, name, sentence) for at, sentence in placed
    )
