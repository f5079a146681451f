"""A mapping tried on a sample: what becomes of each record, and examples of it."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import msgspec

from infra.produce.records import Record
from schemas.checks import OPTIONAL
from schemas.mapping import Mapped, Mapper, MappingSpec, Unmapped
from schemas.mapping.keeping import sources_of
from schemas.mapping.paths import getter
from schemas.mapping.values import text_of
from schemas.transaction import Decoder

_ANY_TIME: Final = -1  # a record without a timestamp: no date is too far ahead
_EXAMPLES: Final = 3
FIELDS: Final = ("id", "user_id", "amount", "txn_date", "currency", "status", *OPTIONAL)


@dataclass
class Trial:
    """What became of the records of a sample."""

    mapped: list[tuple[Record, dict[str, Any]]] = field(default_factory=list)
    left_out: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """How many, by reason."""
    why: dict[str, str] = field(default_factory=dict)
    """The first detail of each reason."""


def tried(spec: MappingSpec, records: Sequence[Record]) -> Trial:
    """Map all of them."""
    outcome = Trial()
    mapper = Mapper(spec, Decoder(max_ahead=timedelta(days=366)))
    for record, found in zip(records, mapper.read_many(records, [_ANY_TIME] * len(records)), strict=True):
        if isinstance(found, Mapped):
            outcome.mapped.append((record, msgspec.json.decode(found.value)))
        elif found is None:
            outcome.left_out += 1
        else:
            _refuse(found, outcome)
    return outcome


def fitting(spec: MappingSpec, records: Sequence[Record]) -> int:
    """How many can be mapped, or are left out."""
    outcome = tried(spec, records)
    return len(outcome.mapped) + outcome.left_out


def _refuse(found: Unmapped, outcome: Trial) -> None:
    outcome.refused[found.reason] += 1
    outcome.why.setdefault(found.reason, found.detail)


@dataclass(frozen=True)
class FieldLine:
    """A field of the mapping, for a person to check."""

    field: str
    source: str
    how: str
    examples: Sequence[tuple[str, str]]
    """Before and after."""


def lines(
    spec: MappingSpec, outcome: Trial, undecided: Collection[tuple[str, str]] = ()
) -> Iterator[FieldLine]:
    """A line for each field, with three examples of different values; not of those that are undecided."""
    for name in FIELDS:
        if (part := getattr(spec, name)) is not None:
            keys = _said(part) | {key: "?" for table, key in undecided if table == name}
            source = keys.pop("from", None)
            paths = [source] if isinstance(source, str) else source or []
            how = ", ".join(f"{key} {_plain(value)}" for key, value in keys.items())
            is_open = any(table == name for table, _ in undecided)
            yield FieldLine(name, " + ".join(paths), how, [] if is_open else _examples(name, paths, outcome))


def _said(part: Any) -> dict[str, Any]:
    """The keys of a table that are not as they are without being said."""
    defaults = _defaults(part)
    return {key: value for key, value in msgspec.to_builtins(part).items() if value != defaults.get(key)}


def _defaults(part: Any) -> dict[str, Any]:
    found = {one.encode_name: one.default for one in msgspec.structs.fields(part)}
    found |= {
        one.encode_name: one.default_factory()
        for one in msgspec.structs.fields(part)
        if one.default_factory is not msgspec.NODEFAULT
    }
    return found


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{key or '(nothing)'}: {_plain(inner)}" for key, inner in value.items() if inner is not None
        )
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _examples(name: str, paths: Sequence[str], outcome: Trial) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    getters = [getter(path) for path in paths if path != "*"]
    for record, made in outcome.mapped:
        before = " ".join(text_of(get(record)) for get in getters)
        if made.get(name) is not None:
            found.setdefault(before, made[name])
        if len(found) == _EXAMPLES:
            break
    return [*found.items()]


def unused(spec: MappingSpec, names: Sequence[str]) -> list[str]:
    """The paths that nothing is read from and nothing keeps."""
    keep = spec.meta_data.keep
    if keep == "rest":
        return list(spec.meta_data.drop)
    used = {*sources_of(spec), *keep}
    return [name for name in names if name not in used]
