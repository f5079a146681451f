"""What is kept of a record in `meta_data`, under the names that it has there."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from schemas.mapping.columns import Column, column_of
from schemas.mapping.paths import Getter, Record, getter, parts_of, values_of
from schemas.mapping.spec import Condition, MappingSpec, MetaDataSpec
from schemas.strict_json import exact_number

_OBJECT = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number)
Keeper = Callable[[Record], dict[str, Any]]


def keeper(spec: MappingSpec) -> Keeper:
    """What gathers what a record keeps; it raises ValueError where that cannot be read."""
    meta = spec.meta_data
    named = {path: getter(path) for path in [*_originals(spec), *(() if meta.keep == "rest" else meta.keep)]}
    keep = _named(named)
    if meta.keep == "rest":
        keep = _with_rest(
            keep, _used(spec) | {_first(path) for path in meta.drop} - {_first(path) for path in named}
        )
    if meta.remove:
        keep = _cleaned(keep, meta)
    return _with_object(keep, getter(meta.source)) if meta.source else keep


def kept_column(spec: MappingSpec) -> Column:
    """What gathers what many records keep, as `keeper` does of each."""
    meta, keep = spec.meta_data, keeper(spec)
    if meta.keep == "rest" or meta.remove or meta.source:
        return column_of(keep)
    names = [*dict.fromkeys([*_originals(spec), *meta.keep])]
    columns = [values_of(name) for name in names]

    def quick(records: Sequence[Record]) -> list[dict[str, Any]]:
        found = [values(records) for values in columns]
        if not all(map(all, found)):  # some are empty, or 0
            raise ValueError
        kept: list[dict[str, Any]] = [{names[0]: value} for value in found[0]]
        for name, values in zip(names[1:], found[1:], strict=True):
            for one, value in zip(kept, values, strict=True):
                one[name] = value
        return kept

    return column_of(keep, quick if names else lambda records: [{}] * len(records))


def _originals(spec: MappingSpec) -> Iterator[str]:
    """What ids are made of: it cannot be computed from the ids."""
    for one in (spec.id, spec.user_id):
        if one.source != "*" and (one.read == "uuid5" if one.keep is None else one.keep):
            yield from _listed(one.source)


def _named(getters: dict[str, Getter]) -> Keeper:
    pairs = list(getters.items())

    def kept(record: Record) -> dict[str, Any]:
        return {name: value for name, get in pairs if (value := get(record)) is not None and value != ""}

    return kept


def _with_rest(keep: Keeper, without: set[str]) -> Keeper:
    def kept(record: Record) -> dict[str, Any]:
        rest = {
            name: value
            for name, value in record.items()
            if name not in without and value is not None and value != ""
        }
        return {**rest, **keep(record)}

    return kept


def _cleaned(keep: Keeper, meta: MetaDataSpec) -> Keeper:
    removed = str.maketrans("", "", meta.remove)
    return lambda record: {
        name: value.translate(removed) if isinstance(value, str) else value
        for name, value in keep(record).items()
    }


def _with_object(keep: Keeper, get: Getter) -> Keeper:
    def kept(record: Record) -> dict[str, Any]:
        found = get(record)
        if isinstance(found, str):
            found = _OBJECT.decode(found) if found.strip() else {}
        if not isinstance(found, dict | None):
            raise ValueError(f"a {type(found).__name__}, not an object")  # noqa: TRY004 - of a record's value
        return {**(found or {}), **keep(record)}

    return kept


def _used(spec: MappingSpec) -> set[str]:
    """The names at the top of records of which something is read."""
    return {_first(path) for path in sources_of(spec)}


def sources_of(spec: MappingSpec) -> Iterator[str]:
    """The paths that fields and conditions are read from, but for all at once."""
    for name in msgspec.structs.asdict(spec):
        part = getattr(spec, name)
        yield from (path for path in _listed(getattr(part, "source", None)) if path != "*")
        yield from _listed(getattr(part, "zone_from", None))
        when: Condition | None = getattr(part, "when", None)
        yield from _listed(when.source if when else None)
    yield from (condition.source for condition in spec.only)


def _listed(source: str | list[str] | None) -> list[str]:
    return [source] if isinstance(source, str) else list(source or ())


def _first(path: str) -> str:
    return parts_of(path)[0]
