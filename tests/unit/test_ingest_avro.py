"""Data of any Avro schema, read as fastavro reads them; hostile data refused at once."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from itertools import chain
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, composite

from infra.ingest.avro import reader
from infra.ingest.schema_kinds import Referred, WrittenSchema, load_reader
from schemas.mapping import Unmapped

_PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
_LOGICAL = {
    "int": ["date", "time-millis"],
    "long": [
        "timestamp-millis",
        "timestamp-micros",
        "local-timestamp-millis",
        "local-timestamp-micros",
        "time-micros",
    ],
    "string": ["uuid", "unheard-of"],
}
_LEFT = {"uuid", "time-millis", "time-micros", "duration"}
_DECIMAL = {"logicalType": "decimal", "precision": 30, "scale": 2}
_RECURSIVE = {"type": "record", "name": "Chain", "fields": [{"name": "next", "type": ["null", "Chain"]}]}


def linked(length: int) -> bytes:
    return b"\2" * length + b"\0"


def record(*types: Any, **more: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": one} for number, one in enumerate(types)]
    return {"type": "record", "name": "Paid", "fields": fields, **more}


def read(schema: Any, data: bytes) -> dict[str, Any]:
    return reader(WrittenSchema("AVRO", json.dumps(schema)))(data)


def by_fastavro(schema: Any, data: bytes) -> Any:
    """What fastavro reads, with all digits of decimals; logical types that mappings do not know are left."""
    named: dict[str, Any] = {}
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema), object_hook=_as_read), named)
    for one in named.values():
        one["precision"] = 1_000
    stream = BytesIO(data)
    found = fastavro.schemaless_reader(stream, parsed, None)
    assert stream.tell() == len(data)
    return found


def _as_read(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("logicalType")
    if kind == "decimal" and schema["type"] == "bytes":
        return {**schema, "precision": 1_000}
    return {name: value for name, value in schema.items() if name != "logicalType" or kind not in _LEFT}


@composite
def schemas(draw: DrawFn, names: list[str], depth: int = 0) -> Any:
    """A schema; `names` are those of the types that are in it."""
    kinds = [*_PRIMITIVES, *["logical"] * 4, "decimal", "enum", "fixed", *(["known"] if names else [])]
    nested = ["record", "union", "array", "map"] if depth < 3 else []
    kind = draw(st.sampled_from([*kinds, *nested]))
    if kind in _PRIMITIVES:
        return kind
    return _DRAWN[kind](draw, names, depth)


def _new(names: list[str]) -> str:
    names.append(f"T{len(names)}")
    return names[-1]


def _logical(draw: DrawFn, _names: list[str], _depth: int) -> Any:
    kind = draw(st.sampled_from([*_LOGICAL]))
    return {"type": kind, "logicalType": draw(st.sampled_from(_LOGICAL[kind]))}


def _fixed(draw: DrawFn, names: list[str], _depth: int) -> Any:
    uuid, decimal = {"logicalType": "uuid"}, {"logicalType": "decimal", "precision": 23, "scale": 3}
    sizes: list[tuple[int, dict[str, Any]]] = [(3, {}), (0, {}), (16, uuid), (10, decimal)]
    size, more = draw(st.sampled_from(sizes))
    return {"type": "fixed", "name": _new(names), "size": size, **more}


def _record(draw: DrawFn, names: list[str], depth: int) -> Any:
    types = [draw(schemas(names, depth + 1)) for _ in range(draw(st.integers(0, 4)))]
    return record(*types, name=_new(names))


def _union(draw: DrawFn, names: list[str], depth: int) -> Any:
    branches = [draw(schemas(names, depth + 1)) for _ in range(draw(st.integers(1, 3)))]
    return [*chain.from_iterable(one if isinstance(one, list) else [one] for one in branches)]


_DRAWN: dict[str, Callable[[DrawFn, list[str], int], Any]] = {
    "logical": _logical,
    "decimal": lambda *_: {"type": "bytes", **_DECIMAL},
    "enum": lambda _, names, __: {"type": "enum", "name": _new(names), "symbols": ["A", "B"]},
    "fixed": _fixed,
    "known": lambda draw, names, _: draw(st.sampled_from(names)),
    "record": _record,
    "union": _union,
    "array": lambda draw, names, depth: {"type": "array", "items": draw(schemas(names, depth + 1))},
    "map": lambda draw, names, depth: {"type": "map", "values": draw(schemas(names, depth + 1))},
}


def number(value: int) -> bytes:
    value, found = (value << 1) ^ (value >> 63), []
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def sized(value: bytes) -> bytes:
    return number(len(value)) + value


_INTEGERS = st.one_of(
    st.integers(-70, 70), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 41), 1 << 41)
)
_WRITTEN = {
    "null": st.just(b""),
    "boolean": st.binary(min_size=1, max_size=1),
    "int": st.integers(-(1 << 31), (1 << 31) - 1).map(number),
    "long": _INTEGERS.map(number),
    "float": st.binary(min_size=4, max_size=4),
    "double": st.binary(min_size=8, max_size=8),
    "bytes": st.binary(max_size=80).map(sized),
    "string": st.text(max_size=80).map(lambda text: sized(text.encode())),
}


class Writing:
    """Writes any data of a schema."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._named: dict[str, Any] = {}

    def written(self, schema: Any) -> bytes:
        schema = self._named.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, dict) and "name" in schema:
            self._named[schema["name"]] = schema
        kind = "union" if isinstance(schema, list) else schema["type"] if isinstance(schema, dict) else schema
        return self._draw(_WRITTEN[kind]) if kind in _WRITTEN else getattr(self, f"_{kind}")(schema)

    def _record(self, schema: Any) -> bytes:
        return b"".join(self.written(field["type"]) for field in schema["fields"])

    def _union(self, schema: Any) -> bytes:
        branches = [
            self.written(one) for one in schema
        ]  # each, as types that are named in one are known then
        place = self._draw(st.integers(0, len(schema) - 1))
        return number(place) + branches[place]

    def _enum(self, schema: Any) -> bytes:
        return number(self._draw(st.integers(0, len(schema["symbols"]) - 1)))

    def _fixed(self, schema: Any) -> bytes:
        return self._draw(st.binary(min_size=schema["size"], max_size=schema["size"]))

    def _array(self, schema: Any) -> bytes:
        return self._blocks(lambda: self.written(schema["items"]))

    def _map(self, schema: Any) -> bytes:
        return self._blocks(lambda: self._draw(_WRITTEN["string"]) + self.written(schema["values"]))

    def _blocks(self, item: Any) -> bytes:
        item()  # types that are named in it are known then
        found = b""
        for count in self._draw(st.lists(st.sampled_from([1, 2, -1, -2]), max_size=2)):
            if items := b"".join(item() for _ in range(abs(count))):
                found += number(count) + (number(len(items)) if count < 0 else b"") + items
        return found + number(0)


@composite
def payments(draw: DrawFn) -> tuple[Any, bytes]:
    """A record's schema, and data of it."""
    names: list[str] = []
    schema = record(*(draw(schemas(names)) for _ in range(draw(st.integers(1, 4)))), namespace="shop")
    return schema, Writing(draw).written(schema)


def _outcome(reads: Any, schema: Any, data: bytes) -> str:
    """As text, in which NaN is NaN, and 1 is not true."""
    try:
        return repr(reads(schema, data))
    except Exception:  # noqa: BLE001 - whatever it says of dates that there are not
        return "refused"


@given(payments())
def test_data_of_any_schema_are_read_as_fastavro_reads_them(payment: tuple[Any, bytes]) -> None:
    schema, data = payment

    assert _outcome(read, schema, data) == _outcome(by_fastavro, schema, data)


@given(payments(), st.data())
def test_what_is_broken_is_refused_or_read_as_fastavro_reads_it(
    payment: tuple[Any, bytes], drawn: st.DataObject
) -> None:
    schema, data = payment
    place = drawn.draw(st.integers(0, len(data)))
    broken = (
        data[:place] + drawn.draw(st.binary(max_size=12)) + drawn.draw(st.sampled_from([data[place:], b""]))
    )
    try:
        found = read(schema, broken)
    except Unmapped as error:
        assert error.reason == "avro"  # noqa: PT017 - the only error that there may be
    else:
        assert repr(found) == repr(by_fastavro(schema, broken))


@pytest.mark.parametrize(
    ("schema", "data", "said"),
    [
        (record("string"), number(1 << 40) + b"a", "not by its schema: 1099511627775 missing"),
        (record("string"), number(-1), "ValueError: -1 is no length"),
        (record("long"), b"\xff" * 100, "EOFError: a number that does not end"),
        (record({"type": "array", "items": "string"}), number(1 << 50), "EOFError: .* items in 0 bytes"),
        (record({"type": "array", "items": "string"}), number(-(1 << 63)) + b"\0", "EOFError: .* items in 0"),
        (
            record({"type": "array", "items": "null"}),
            number(1 << 62) + b"\0" * 99,
            "EOFError: .* items in 99",
        ),
        (record({"type": "array", "items": "null"}), number(9) + b"\0" * 99, "9 items that take no bytes"),
        (record({"type": "array", "items": record(name="E")}), number(2) + b"\0" * 9, "2 items that take no"),
        (record({"type": "map", "values": "null"}), number(1 << 62), "EOFError: .* items in 0 bytes"),
        (record(["null", "int"]), number(-1), "ValueError: -1 is no length"),
        (record(["null", "int"]), number(2), "ValueError: a union of no type 2"),
        (record({"type": "enum", "name": "E", "symbols": ["A"]}), number(1), "KeyError"),
        (record({"type": "bytes", **_DECIMAL}), sized(b"\x7f" * 1_000_000), "a decimal of 1000000 bytes"),
        (_RECURSIVE, linked(900_000), "RecursionError"),  # fastavro ends the process at 20,000
    ],
)
def test_hostile_data_are_refused_at_once(schema: Any, data: bytes, said: str) -> None:
    with pytest.raises(Unmapped, match=f"^avro: .*{said}"):
        read(schema, data)


def test_types_that_have_themselves_in_them_are_read() -> None:
    assert read(_RECURSIVE, linked(2)) == {"next": {"next": {"next": None}}}


def test_decimals_of_a_thousand_digits_keep_them_all() -> None:
    value = (1 << 8 * 415 - 1) - 1

    for kind, data in (("bytes", sized(value.to_bytes(415))), ("fixed", value.to_bytes(415))):
        found = read(record({"type": kind, "name": "D", "size": 415, **_DECIMAL}), data)
        assert str(found["f0"]).replace(".", "") == str(value)


def test_unions_of_many_types_and_long_enums_are_read() -> None:
    symbols = [f"S{place}" for place in range(300)]
    fixed = [{"type": "fixed", "name": f"F{size}", "size": size} for size in range(100)]

    assert read(record({"type": "enum", "name": "E", "symbols": symbols}), number(299)) == {"f0": "S299"}
    assert read(record(fixed), number(99) + b"x" * 99) == {"f0": b"x" * 99}


@pytest.mark.parametrize("name", ["'}, at\nraise", "{to}", "\\", "class", "data", "é"])
def test_names_of_fields_are_never_code(name: str) -> None:
    schema = {"type": "record", "name": name, "fields": [{"name": name, "type": "int"}]}

    assert read(schema, b"\2") == {name: 1}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"name": 1, "type": "int"}, "1 is no name of a field"),
        ({"name": "f", "type": {"type": "fixed", "name": "F", "size": -1}}, "-1 is no size"),
    ],
)
def test_a_schema_that_makes_no_sense_is_refused_with_its_data(field: Any, said: str) -> None:
    written = WrittenSchema("AVRO", json.dumps({**record(), "fields": [field]}))

    with pytest.raises(Unmapped, match=f"^schema: the schema cannot be used: ValueError: {said}"):
        load_reader("avro", written)(b"\2")


def test_types_of_schemas_that_are_referred_to_are_known() -> None:
    party = WrittenSchema("AVRO", json.dumps(record("string", name="Party", namespace="shop")))
    schema = json.dumps(record("Party", ["null", "shop.Party"], namespace="shop"))
    its = reader(WrittenSchema("AVRO", schema, (Referred("shop.Party", party),)))

    assert its(sized(b"a") + number(1) + sized(b"b")) == {"f0": {"f0": "a"}, "f1": {"f0": "b"}}


@pytest.mark.parametrize("digits", [0, 1, 7, 34, 35, 36, 41, 42, 43])
@pytest.mark.parametrize("sign", [-1, 1])
def test_times_are_exact_and_none_is_made_of_a_part(digits: int, sign: int) -> None:
    schema = record({"type": "long", "logicalType": "timestamp-millis"})
    value = sign * ((1 << digits) - 1)
    data = number(value)

    assert read(schema, data) == {"f0": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)}
    for length in range(len(data)):
        with pytest.raises(Unmapped, match=r"^avro: not by its schema"):
            read(schema, data[:length])


def test_a_decimal_needs_no_precision() -> None:
    schema = record({"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "scale": 1})

    assert read(schema, b"\xff\xff") == {"f0": Decimal("-0.1")}
