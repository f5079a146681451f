"""Ids: UUIDs as sources write them, or made of any text by the rule of RFC 9562 (version 5).

The namespace is this project's for ever: the same text gives the same id in files and topics, today and next
year, and anybody can compute it, as Postgres does with `uuid_generate_v5(namespace, text)`.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid5

import msgspec

from schemas.mapping.columns import Column, column_of, texts_of
from schemas.mapping.paths import Getter, Record, getter, values_of
from schemas.mapping.spec import IdSpec
from schemas.mapping.texts import first_of, text_getter
from schemas.mapping.values import text_of
from schemas.refusal import excerpt

NAMESPACE: Final = UUID("a002ca39-2712-561d-9114-a0cbd7db3853")
"""uuid5(NAMESPACE_DNS, "txnwatch")."""
Reader: TypeAlias = Callable[[Record], Any]

_CANONICAL = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WRITTEN = re.compile(
    r"(?:urn:uuid:)?(\{)?([0-9a-f]{8})(-?)([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{12})(?(1)\})",
    re.IGNORECASE,
)
_HEX_TO_0 = str.maketrans("0123456789abcdef", "0" * 16)
_UUIDS = "00000000-0000-0000-0000-000000000000\n"
_UUID_BYTES = 16
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
_KEPT_IDS = 1 << 15
_ENCODE = msgspec.json.Encoder(order="deterministic").encode


def id_reader(spec: IdSpec, *, repeated: bool) -> Reader:
    """What makes the id of a record; `repeated` ids, as users', are remembered.

    It raises ValueError where there is none.
    """
    if spec.read == "uuid":
        return _uuid_reader(spec)
    make = namer(spec.space)
    if repeated:
        make = lru_cache(_KEPT_IDS)(make)
    if spec.source is None:
        made = make(spec.value)
        return lambda _: made
    return _made_of_text(_several(spec) or text_getter(spec.source, spec.remove), make)


def id_column(spec: IdSpec, *, repeated: bool) -> Column:
    """What makes the ids of many records, as `id_reader` does of each."""
    read = id_reader(spec, repeated=repeated)
    if not isinstance(spec.source, str) or spec.remove or spec.read == "hash":
        return column_of(read)
    values = values_of(spec.source)
    if spec.read == "uuid":
        return column_of(read, lambda records: _canonical_ones(values(records)))
    make = namer(spec.space)
    if repeated:
        make = lru_cache(_KEPT_IDS)(make)

    def quick(records: Sequence[Record]) -> list[str]:
        texts = texts_of(values(records))
        if "" in texts:
            raise ValueError
        return [*map(make, texts)]

    return column_of(read, quick)


def _canonical_ones(values: list[Any]) -> list[str]:
    if "\n".join([*values, ""]).translate(_HEX_TO_0) != _UUIDS * len(values):
        raise ValueError
    return values


def _several(spec: IdSpec) -> Reader | None:
    """What reads all values that a hash is made of, as one text; None of other ids."""
    if spec.read != "hash":
        return None
    if spec.source == "*":
        return lambda record: _hashed({name: _part(value) for name, value in record.items()})
    names = [spec.source] if isinstance(spec.source, str) else list(spec.source or ())
    getters = {name: getter(name) for name in names}
    return lambda record: _hashed({name: _part(get(record)) for name, get in getters.items()})


def _made_of_text(read: Reader, make: Callable[[str], str]) -> Reader:
    def made(record: Record) -> str:
        text = read(record)
        if not text:
            raise ValueError("missing")
        return make(text)

    return made


def _hashed(parts: dict[str, str]) -> str:
    """One text of several values, of other values always another; none where none of them is there.

    In the order of their names, so that the order of columns does not matter.
    """
    return _ENCODE(parts).decode() if any(parts.values()) else ""


def _part(value: object) -> str:
    return _ENCODE(value).decode() if isinstance(value, dict | list) else text_of(value)


def namer(space: str = "") -> Callable[[str], str]:
    """What makes the id of a text, as `uuid.uuid5` does, in a third of its time.

    >>> namer()("C1231006815") == str(uuid5(NAMESPACE, "C1231006815"))
    True
    >>> namer("paysim")("C1231006815") == str(uuid5(uuid5(NAMESPACE, "paysim"), "C1231006815"))
    True
    """
    namespace = uuid5(NAMESPACE, space) if space else NAMESPACE
    begun, variants = sha1(namespace.bytes, usedforsecurity=False), _VARIANT

    def made(text: str) -> str:
        state = begun.copy()
        state.update(text.encode())
        digits = state.hexdigest()
        return (
            f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-"
            f"{variants[digits[16]]}{digits[17:20]}-{digits[20:32]}"
        )

    return made


def _uuid_reader(spec: IdSpec) -> Reader:
    sources = [spec.source] if isinstance(spec.source, str) else list(spec.source or ())
    values: list[Getter] = [getter(source) for source in sources]
    first = values[0] if len(values) == 1 else first_of(values)
    removed = str.maketrans("", "", spec.remove)

    def read(record: Record) -> str:
        value = first(record)
        if isinstance(value, bytes) and len(value) == _UUID_BYTES:
            return str(UUID(bytes=value))
        text = text_of(value).translate(removed) if removed else text_of(value)
        return text if _CANONICAL.fullmatch(text) else _canonical(text)

    return read


def _canonical(text: str) -> str:
    if not text:
        raise ValueError("missing")
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f'{excerpt(text)} is no UUID: say read = "uuid5" to have one made of any text')
    return "-".join(found.group(2, 4, 5, 6, 7)).lower()
