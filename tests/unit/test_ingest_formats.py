"""What is read of records of foreign topics: JSON, and envelopes of three kinds, found by what they are."""

import json
from base64 import b64encode
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.ingest.decoding import FormatError
from schemas.mapping import Unmapped
from tests.support.foreign_topics import MAPPING, Foreign, decoding

LONG = {
    "field": "a",
    "type": "bytes",
    "name": "org.apache.kafka.connect.data.Decimal",
    "parameters": {"scale": "1000"},
}
ROW = {"ref": "T-1", "value": 12}
AFTER = {"before": None, "after": ROW, "op": "c", "ts_ms": 5, "source": {"db": "shop"}}
EVENT = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "paid", "data": ROW}
BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("ce_time", b"2024-01-01T00:00:00Z")]


def connect(payload: Any, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "struct", "fields": list(fields)}, "payload": payload}


def read(value: Any, source: str = "", *, mapping: str = MAPPING, **of_record: Any) -> Any:
    data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return decoding(source, mapping).decode(Foreign(data, **of_record))


def unscaled(number: int) -> str:
    return b64encode(number.to_bytes(9, signed=True)).decode()


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (b'{"a": 1.10, "b": 123456789012345678901}', {"a": Decimal("1.10"), "b": 123456789012345678901}),
        (b'\xef\xbb\xbf{"a": null}', {"a": None}),
        (b'{"op": "c", "after": {}}', {"op": "c", "after": {}}),  # a payment may have such fields
        (b'{"payload": 1, "schema": 2, "more": 3}', {"payload": 1, "schema": 2, "more": 3}),
    ],
)
def test_json_is_read_to_the_last_digit_and_as_it_is(value: bytes, fields: dict[str, Any]) -> None:
    assert read(value) == fields


@pytest.mark.parametrize("value", [b"", b"[1]", b"null", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"\0\0"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(Unmapped, match=r"^json: "):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        AFTER,
        AFTER | {"op": "u"},
        AFTER | {"op": "r", "source": None},
        AFTER | {"after": json.dumps(ROW)},  # Debezium for MongoDB
        {"schema": None, "payload": AFTER},
        EVENT,
        {name: value for name, value in EVENT.items() if name != "data"}
        | {"data_base64": b64encode(json.dumps(ROW).encode()).decode()},
        EVENT | {"data": {"schema": None, "payload": AFTER}},  # Debezium's converter to CloudEvents
        connect(ROW, {"field": "ref", "type": "string"}, {"field": "value", "type": "int32"}),
    ],
)  # fmt: skip
def test_envelopes_are_opened(value: Any) -> None:
    assert read(value) == ROW


def test_an_event_in_binary_mode_is_its_value_and_has_its_attributes_in_headers() -> None:
    mapping = MAPPING.replace('"at"', '"cloudevent.time"')

    assert read(ROW, headers=BINARY) == ROW
    assert read(ROW, 'format = "cloudevents"', headers=BINARY) == ROW
    found = read(ROW, mapping=mapping, headers=BINARY)
    assert found == ROW | {"cloudevent": {"specversion": "1.0", "id": "e1", "time": "2024-01-01T00:00:00Z"}}


def test_what_stands_beside_the_data_is_there_for_a_mapping_that_names_it() -> None:
    mapping = MAPPING.replace('"at"', '"debezium.ts_ms"').replace('"customer"', '"kafka.key"')

    found = read(AFTER, mapping=mapping, key=b"C-7", headers=[("h", b"v"), ("n", None)], timestamp=7)

    assert (found["ref"], found["debezium"]["ts_ms"]) == ("T-1", 5)
    assert found["kafka"] == {"key": "C-7", "timestamp": 7, "headers": {"h": "v", "n": ""}}


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "tombstone"),
        ({"schema": {"type": "struct", "fields": []}, "payload": None}, "tombstone"),
        (AFTER | {"op": "d", "after": None, "before": ROW}, "deleted"),
        (AFTER | {"op": "t", "after": None}, "other_event"),
        (AFTER | {"op": ["c"]}, "other_event"),
        (AFTER | {"op": {"c": 1}}, "other_event"),
    ],
)
def test_what_is_no_transaction_is_left_out_by_a_word(value: Any, word: str) -> None:
    assert read(value) == word


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (AFTER | {"after": None}, "after has no object in it, but NoneType"),
        (AFTER | {"after": "{"}, "after: Input data was truncated"),
        (EVENT | {"data": "text"}, "data has no object in it, but str"),
        (connect({"a": 1}, {"field": "a", "type": "bytes"}), "payload is not as its schema says"),
        (connect({"a": "%"}, {"field": "a", "type": "bytes"}), "no base64"),
        (connect([1], {"field": "a", "type": "int32"}), "payload is not as its schema says"),
        (connect({"a": b64encode(bytes(416)).decode()}, LONG), "a decimal of 416 bytes"),
    ],
)
def test_a_broken_envelope_says_what_is_wrong(value: Any, detail: str) -> None:
    with pytest.raises(Unmapped, match=detail) as refused:
        read(value)
    assert refused.value.reason == "envelope"


def test_a_format_that_is_named_is_the_only_one() -> None:
    assert read(AFTER, 'format = "json"') == AFTER
    assert read(EVENT | {"data": AFTER}, 'format = "debezium"') == ROW
    with pytest.raises(Unmapped, match="this is no connect: it has after, before, op"):
        read(AFTER, 'format = "connect"')
    with pytest.raises(Unmapped, match="avro: it does not begin as the registry's clients write"):
        read(ROW, 'format = "avro"')
    with pytest.raises(Unmapped, match="json: "):
        read(b"\0\0\0\0\x01{}", 'format = "json"')
    with pytest.raises(FormatError, match="'csv': for topics it is one of json, avro"):
        read(ROW, 'format = "csv"')


def test_connects_types_are_exact() -> None:
    decimal = {"name": "org.apache.kafka.connect.data.Decimal", "type": "bytes", "parameters": {"scale": "2"}}
    variable = {"name": "io.debezium.data.VariableScaleDecimal", "type": "struct", "fields": []}
    payload = {
        "amount": unscaled(-123456789012345678901),
        "number": 12.5,
        "free": {"scale": 3, "value": unscaled(1500)},
        "day": 19723,
        "at": 1704067200001,
        "raw": b64encode(b"\0\xff").decode(),
        "list": [unscaled(1)],
        "map": {"a": unscaled(2)},
        "none": None,
    }

    found = read(connect(
        payload,
        {"field": "amount", **decimal},
        {"field": "number", **decimal},
        {"field": "free", **variable},
        {"field": "day", "type": "int32", "name": "org.apache.kafka.connect.data.Date"},
        {"field": "at", "type": "int64", "name": "org.apache.kafka.connect.data.Timestamp"},
        {"field": "raw", "type": "bytes"},
        {"field": "list", "type": "array", "items": decimal},
        {"field": "map", "type": "map", "values": decimal},
        {"field": "none", **decimal},
    ))  # fmt: skip

    assert found == {
        "amount": Decimal("-1234567890123456789.01"),
        "number": Decimal("12.5"),
        "free": Decimal("1.500"),
        "day": date(2024, 1, 1),
        "at": datetime(2024, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
        "raw": b"\0\xff",
        "list": [Decimal("0.01")],
        "map": {"a": Decimal("0.02")},
        "none": None,
    }
