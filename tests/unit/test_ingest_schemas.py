"""Avro and Protobuf with the framing of schema registries, against a registry over HTTP."""

import asyncio
import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import SecretStr

from infra.ingest import protobuf
from infra.ingest.registry import Registry, RegistryError
from infra.ingest.schema_kinds import Referred, WrittenSchema, load_reader
from schemas.mapping import Unmapped
from tests.support.foreign_topics import Foreign, decoding
from tests.support.installation import until
from tests.support.registry import AVRO, PARTIES, PROTO, FakeRegistry, all_kinds, avro, framed, served

AT = datetime(2024, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)
ID = "f06a72cf-e094-50a7-b663-8929e421dd6f"
FIELDS = {"ref": ID, "customer": "C-7", "value": Decimal("-12345678901234567.89"), "ccy": "EUR", "at": AT}
WRITTEN = WrittenSchema(
    "PROTOBUF", PROTO, (Referred("common/parties.proto", WrittenSchema("PROTOBUF", PARTIES)),)
)
PAYMENTS = WrittenSchema("AVRO", json.dumps(AVRO))
ENVELOPE = ["op", "after", "ts_ms"]
PAYMENT = bytes([4, 2, 0])  # the second message of the file, the first in it
DECIMAL = (-1234567890123456789).to_bytes(9, signed=True)


def payment(**fields: Any) -> Any:
    return GetMessageClass(protobuf._message(protobuf._file(WRITTEN), (1, 0)))(**fields)  # noqa: SLF001


async def read(registry: FakeRegistry, value: bytes, source: str = "", token: str = "") -> Any:
    async with Registry(SecretStr(registry.url), SecretStr(token)) as its:
        reads = decoding(source, registry=its)
        await reads.prepare([Foreign(value), Foreign(None), Foreign(b"{}")])
        return reads.decode(Foreign(value))


@pytest.mark.parametrize("source", ["", 'format = "avro"'])
async def test_avro_is_read_exactly_by_the_schema_of_its_number(source: str) -> None:
    async with served(all_kinds()) as registry:
        assert await read(registry, framed(1, avro(FIELDS)), source) == FIELDS


async def test_a_schema_may_be_large() -> None:
    registry = FakeRegistry({1: {"schema": json.dumps({**AVRO, "doc": "x" * (2 << 20)})}})
    async with served(registry), asyncio.timeout(10):
        assert await read(registry, framed(1, avro(FIELDS))) == FIELDS
    assert registry.asked.total() == 1


async def test_an_endless_answer_is_no_schema() -> None:
    async with served(FakeRegistry({1: {"schema": "x" * (9 << 20)}})) as registry:
        with pytest.raises(RegistryError, match="its answer has more than 8,388,608 bytes"):
            await read(registry, framed(1, b""))


def test_a_decimal_that_is_longer_than_its_schema_says_is_not_rounded() -> None:
    digits = {
        "name": "value",
        "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
    }
    schema = {"type": "record", "name": "Paid", "fields": [digits]}
    data = bytes([2 * 9]) + DECIMAL

    found = load_reader("avro", WrittenSchema("AVRO", json.dumps(schema)))(data)

    assert found == {"value": Decimal("-12345678901234567.89")}


async def test_debezium_in_avro_is_opened() -> None:
    schema = {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "after", "type": ["null", AVRO]},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": ["null", "long"]},
        ],
    }
    async with served(FakeRegistry({9: {"schema": json.dumps(schema)}})) as registry:
        value = framed(9, avro({"after": FIELDS, "op": "c", "ts_ms": None}, schema))

        assert await read(registry, value) == FIELDS
        assert (await read(registry, value, 'format = "avro"'))["after"] == FIELDS


@pytest.mark.parametrize("source", ["", 'format = "avro"', 'format = "json"', 'format = "debezium"'])
async def test_many_records_are_read_as_each_alone(source: str) -> None:
    envelope = {
        "type": "record",
        "name": "E",
        "fields": [{"name": name, "type": "string"} for name in ENVELOPE],
    }
    async with (
        served(all_kinds()) as registry,
        Registry(SecretStr(registry.url), SecretStr("")) as its,
    ):
        registry.schemas[9] = {"schema": json.dumps(envelope)}
        good = framed(1, avro(FIELDS))
        values = [
            good,
            b'{"a": 1}',
            None,
            b"",
            b"\0\0",
            good[:-1],
            framed(7, b""),
            framed(3, b'{"a": 1}'),
            good,
        ]
        event = framed(9, avro({"op": "d", "after": "", "ts_ms": ""}, envelope))
        records = [*map(Foreign, [*values, event]), Foreign(good, headers=[("ce_specversion", b"1.0")])]
        many, alone = decoding(source, registry=its), decoding(source, registry=its)
        await many.prepare(records)

        found = many.decode_many(records)

    assert [*map(repr, found)] == [repr(alone._decoded(record)) for record in records]  # noqa: SLF001
    assert isinstance(found[0], dict) is (source in {"", 'format = "avro"'})


async def test_protobuf_is_read_by_the_index_of_its_message_and_what_the_schema_imports() -> None:
    message = payment(
        ref=ID, customer={"id": "C-7"}, value={"value": DECIMAL, "scale": 2}, ccy="EUR", at=AT, kind=1,
        parts=[1, 2], rates={"EUR": 1.1},
    )  # fmt: skip
    more = {"note": None, "kind": "SALE", "parts": [1, 2], "rates": {"EUR": 1.1}}
    async with served(all_kinds()) as registry:
        found = await read(registry, framed(2, PAYMENT + message.SerializeToString()))

        assert found == FIELDS | more | {"customer": {"id": "C-7"}}
        assert await read(registry, framed(2, b"\0\x08\x05")) == {"n": 5}
        assert registry.asked == {"/schemas/ids/2": 2, "/subjects/shop/parties/versions/4": 2}


def test_what_a_message_lacks_is_none_where_that_can_be_told() -> None:
    data = load_reader("protobuf", WRITTEN)(PAYMENT + payment(kind=7).SerializeToString())

    assert (data["value"], data["at"], data["note"], data["ccy"], data["kind"]) == (None, None, None, "", 7)


def test_money_and_the_like_are_exact() -> None:
    text = """
    syntax = "proto3";
    import "google/type/money.proto";
    import "google/type/date.proto";
    import "google/type/decimal.proto";
    import "google/protobuf/wrappers.proto";
    import "confluent/meta.proto";
    message Bill {
      google.type.Money total = 1;
      google.type.Date day = 2;
      google.type.Decimal tax = 3;
      google.protobuf.StringValue note = 4 [(confluent.field_meta).doc = "whatever"];
    }
    """
    written = WrittenSchema("PROTOBUF", text)
    kind: type[Message] = GetMessageClass(protobuf._message(protobuf._file(written), (0,)))  # noqa: SLF001
    bill = kind(
        total={"currency_code": "EUR", "units": -12, "nanos": -300_000_000},
        day={"year": 2024, "month": 1, "day": 2},
        tax={"value": "0.10"},
        note={"value": "n"},
    )

    found = protobuf.reader(written)(b"\0" + bill.SerializeToString())

    assert found["total"] == {"currency_code": "EUR", "amount": Decimal("-12.3")}
    assert (str(found["day"]), found["tax"], found["note"]) == ("2024-01-02", Decimal("0.10"), "n")


@pytest.mark.parametrize(
    ("kind", "written", "data", "said"),
    [
        ("avro", PAYMENTS, b"\x02", "avro: not by its schema"),
        ("avro", PAYMENTS, avro(FIELDS) + b"x", "avro: 1 bytes more than its schema"),
        ("avro", WrittenSchema("AVRO", '"string"'), b"\x02a", "avro: no record, but str"),
        ("avro", WrittenSchema("AVRO", "{"), b"", "schema: the schema cannot be used: JSONDecodeError"),
        ("protobuf", WRITTEN, b"\0\xff", "protobuf: not by its schema: DecodeError"),
        ("protobuf", WRITTEN, bytes([2, 18]), "protobuf: not by its schema: IndexError"),
        ("protobuf", WRITTEN, b"", "protobuf: not by its schema: ValueError: cut off"),
        ("protobuf", WRITTEN, b"\xff" * 9, "protobuf: not by its schema: ValueError: cut off"),
        ("protobuf", WRITTEN, PAYMENT + payment(value={"scale": 1001}).SerializeToString(), "the scale 1001"),
        ("protobuf", WrittenSchema("", "messag"), b"\0", "schema: the schema cannot be used: .* protoc"),
        ("protobuf", WrittenSchema("", "", (Referred("../x", WRITTEN),)), b"\0", "schema: .* no path"),
        ("XML", WrittenSchema("XML", ""), b"", "schema: schemas of the kind XML are not known"),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_schema_is_refused_with_a_reason(
    kind: str, written: WrittenSchema, data: bytes, said: str
) -> None:
    with pytest.raises(Unmapped, match=said):
        load_reader(kind, written)(data)


async def test_a_number_that_the_registry_does_not_have_is_refused_and_not_asked_for_each_time() -> None:
    async with served(all_kinds()) as registry, Registry(SecretStr(registry.url), SecretStr("")) as its:
        reads = decoding(registry=its)
        for _ in range(3):
            await reads.prepare([Foreign(framed(8, b"{}"))])
            with pytest.raises(Unmapped, match="schema: the registry has no schema 8"):
                reads.decode(Foreign(framed(8, b"{}")))

        assert registry.asked == {"/schemas/ids/8": 1}
        with pytest.raises(Unmapped, match="schema 3 is json, and the mapping says avro"):
            await read(registry, framed(3, b"{}"), 'format = "avro"')
        assert await read(registry, framed(3, b'{"a": 1.10}')) == {"a": Decimal("1.10")}


async def test_a_registry_that_does_not_answer_is_waited_for_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with served(all_kinds()) as registry, Registry(SecretStr(registry.url), SecretStr("")) as its:
        registry.status = 503

        async def is_asked() -> bool:
            return bool(registry.asked)

        reads = decoding(registry=its)
        waiting = asyncio.create_task(reads.prepare([Foreign(framed(1, avro(FIELDS)))]))
        await until(is_asked)
        assert its.waiting_since is not None
        registry.status = 200
        await waiting

        assert its.waiting_since is None
        assert reads.decode(Foreign(framed(1, avro(FIELDS)))) == FIELDS
    assert "the schema registry: RegistryAwayError: status 503; trying again" in caplog.text


async def test_a_registry_asks_for_a_password_or_a_token() -> None:
    async with served(all_kinds()) as registry:
        plain, value = registry.url, framed(1, avro(FIELDS))
        await read(registry, value, "", "hush")
        registry.url = plain.replace("http://", "http://user:hush@")
        await read(registry, value)
        registry.status = 401
        with pytest.raises(RegistryError, match="says 401: TXNWATCH_SCHEMA_REGISTRY_URL takes") as refused:
            await read(registry, value)

    assert registry.authorizations[:2] == ["Bearer hush", "Basic dXNlcjpodXNo"]
    assert "hush" not in str(refused.value)


async def test_without_a_registry_framed_records_end_it_with_the_ways_on() -> None:
    with pytest.raises(RegistryError, match=r'TXNWATCH_SCHEMA_REGISTRY_URL .* format = "json"'):
        await read(FakeRegistry(), framed(1, b""))
