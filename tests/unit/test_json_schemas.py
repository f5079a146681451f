"""The published JSON Schemas say what the code does, as far as they can say it."""

import json
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.checks import FIELDS, OPTIONAL
from schemas.mapping import MappingSpec
from schemas.mapping.ready import READY, ready_text
from schemas.refusal import Refused
from schemas.scored import VERDICT_NAMES, Flag, Scored, encode_scored
from schemas.transaction import Decoder, Transaction
from stream_app.detectors import known
from stream_app.detectors.rolling_mean import RollingMean
from tests.support.detectors import mean_flag
from tests.support.flag_schema import evidence_of, flags_of


def published(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(files("schemas").joinpath(f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return schema


def write(name: str, schema: dict[str, Any]) -> None:
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    Path(str(files("schemas") / f"{name}.schema.json")).write_text(f"{text}\n", "utf-8")


TRANSACTION_SCHEMA = published("transaction")
SCORED_SCHEMA = published("scored")
TRANSACTION = Draft202012Validator(TRANSACTION_SCHEMA)
SCORED = Draft202012Validator(SCORED_SCHEMA)
USUAL = {
    "id": '"f06a72cf-e094-50a7-b663-8929e421dd6f"',
    "user_id": '"1e145f1e-f2e1-512a-aebb-35bb6597e178"',
    "amount": '"57.16"',
    "currency": '"EUR"',
    "txn_date": '"2018-04-01T00:00:31Z"',
    "status": '"paid"',
}


def valid_by_schema(value: str) -> bool:
    # The numbers of JSON Schema are exact, not doubles.
    return TRANSACTION.is_valid(json.loads(value, parse_float=Decimal))


def valid_by_code(value: str) -> bool:
    found = json.loads(value)
    user_id = found.get("user_id") if isinstance(found, dict) else None
    key = user_id.lower().encode() if isinstance(user_id, str) else None
    try:
        Decoder().decode(value.encode(), key, -1)
    except Refused:
        return False
    return True


def changed(name: str, value: str | None) -> str:
    shown = {**USUAL, name: value}
    return "{" + ",".join(f'"{name}":{value}' for name, value in shown.items() if value is not None) + "}"


@pytest.mark.parametrize("schema", [TRANSACTION_SCHEMA, SCORED_SCHEMA])
def test_the_examples_in_the_schemas_are_valid(schema: dict[str, Any]) -> None:
    assert schema["examples"]
    for example in schema["examples"]:
        Draft202012Validator(schema).validate(example)


def test_the_schemas_have_the_fields_of_the_types() -> None:
    assert set(TRANSACTION_SCHEMA["properties"]) == FIELDS
    assert set(Transaction.__struct_fields__) - {"unknown"} == FIELDS
    assert tuple(SCORED_SCHEMA["properties"]) == Scored.__struct_fields__


def test_the_schema_of_a_flag_is_made_of_the_evidence_of_all_detectors(pytestconfig: pytest.Config) -> None:
    made = {**SCORED_SCHEMA, "$defs": {**SCORED_SCHEMA["$defs"], "flag": flags_of(known())}}
    if pytestconfig.option.update_goldens:
        write("scored", made)

    assert published("scored") == made


def test_the_schema_of_a_mapping_is_made_of_its_type(pytestconfig: pytest.Config) -> None:
    """Editors of TOML complete and check by it: `#:schema` at the top of a file."""
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A mapping of txnwatch",
        **msgspec.json.schema(MappingSpec),
    }
    if pytestconfig.option.update_goldens:
        write("mapping", made)

    assert published("mapping") == made


@pytest.mark.parametrize("name", READY)
def test_the_schema_of_a_mapping_takes_those_that_are_ready_made(name: str) -> None:
    table = json.loads(json.dumps(tomllib.loads(ready_text(name)), default=str))
    validator = Draft202012Validator(published("mapping"))

    assert [error.message for error in validator.iter_errors(table)] == []
    assert not validator.is_valid({**table, "amount": {"from": "x", "decimals": "."}})
    assert not validator.is_valid({key: part for key, part in table.items() if key != "id"})


def test_the_schema_says_of_the_default_rule_what_it_said_when_it_was_written_by_hand() -> None:
    decimal = {"type": "string", "pattern": r"^(0|[1-9][0-9]*)\.[0-9]{2}$"}
    assert evidence_of(RollingMean) == {
        "required": ["detector", "mean", "window", "ratio", "threshold"],
        "properties": {
            "detector": {"description": "Which detector flagged it.", "const": "rolling_mean"},
            "rule": {
                "description": "Which rule flagged it: a detector, its version and its settings.",
                "type": "string",
                "pattern": "^[0-9a-f]{8}$",
            },
            "mean": {"description": "Of the amounts in the user's window.", **decimal},
            "window": {
                "description": "How many amounts the window held.",
                "type": "integer",
                "minimum": 1,
            },
            "ratio": {
                "description": "How many times the mean the amount is.",
                "type": "number",
                "exclusiveMinimum": 0,
            },
            "threshold": {"description": "What the amount is above.", **decimal},
        },
    }


def test_the_example_of_a_scored_transaction_is_what_the_code_writes() -> None:
    example = SCORED_SCHEMA["examples"][0]
    meta = example["meta_data"]
    txn = Transaction(
        id=example["id"],
        user_id=example["user_id"],
        amount=11230,
        currency=example["currency"],
        txn_date=datetime.fromisoformat(example["txn_date"]),
        status=example["status"],
        meta_data={"shop": meta["shop"]},
        **{name: example[name] for name in OPTIONAL},
    )
    flag = Flag(meta["detector"], msgspec.convert(meta, RollingMean.EVIDENCE), meta["rule"])
    assert json.loads(encode_scored(txn, flag)[0]) == example


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "1"),
        ("id", USUAL["id"].upper()),
        ("user_id", USUAL["user_id"].upper()),
        *[
            ("amount", amount)
            for amount in ["0", "-0.0", "12.3", "1.23e1", "12.300", "999999999999999999.99"]
        ],
        *[("amount", amount) for amount in ['"0"', '"-0.0"', '"-0e5"', '"1.23E+1"', '"12.300"']],
        ("currency", '"inr"'),
        *[
            ("txn_date", f'"2018-04-01{rest}"')
            for rest in ["t00:00:31z", " 00:00:31.123456789-23:59", "T23:59:59+0530"]
        ],
        ("txn_date", '"0001-01-01T00:00:00Z"'),
        ("txn_date", '"9999-12-31T23:59:59Z"'),
        ("status", '""'),
        ("status", f'"{"é" * 32}"'),
        *[("meta_data", meta) for meta in ["null", "{}", '{"a":[1,2.5,{"b":null}]}']],
        *[(name, value) for name in OPTIONAL for value in ["null", '""', '"in"']],
        *[(name, f'"{"é" * 64}"') for name in ("merchant_id", "card_id")],
        ("channel", f'"{"é" * 32}"'),
    ],
)
def test_what_the_code_takes_the_schema_takes(name: str, value: str) -> None:
    assert valid_by_code(changed(name, value))
    assert valid_by_schema(changed(name, value))


OTHER_KINDS: list[str | None] = [None, "null", "true", "[]", "{}", "-1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in sorted(FIELDS - {"meta_data", *OPTIONAL}) for value in OTHER_KINDS],
        *[(name, value) for name in OPTIONAL for value in OTHER_KINDS[2:]],
        *[
            (name, value)
            for name in sorted(FIELDS - {"meta_data", "status", *OPTIONAL})
            for value in ['"?"', '"\\n"', '""']
        ],
    ],
)
def test_a_field_that_is_missing_or_of_another_kind_fails_both(name: str, value: str | None) -> None:
    assert not valid_by_code(changed(name, value))
    assert not valid_by_schema(changed(name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("id", f'"{text}"') for text in ["{%s}", "urn:uuid:%s", "%s ", " %s", "%s\\n", "%s0"]],
        ("id", USUAL["id"].replace("-", "")),
        *[("amount", amount) for amount in ["-0.01", "1e18", "1000000000000000000", "1e400"]],
        *[
            ("amount", f'"{text}"')
            for text in ["-0.01", "-1e1", "+1", " 1", "1\\n", "1_0", ".5", "5.", "01", "NaN", "-", "٣"]
        ],
        *[("currency", f'"{text}"') for text in ["EU", "EURO", "E1R", "EUR\\n", "ÉUR", "€€€"]],
        *[
            ("txn_date", f'"{text}"')
            for text in [
                "2018-04-01",
                "2018-04-01T00:00:31",
                "2018-04-01T00:00Z",
                "0000-01-01T00:00:00Z",
                "2018-13-01T00:00:00Z",
                "2018-00-01T00:00:00Z",
                "2018-04-32T00:00:00Z",
                "2018-04-01T24:00:00Z",
                "2016-12-31T23:59:60Z",
                "2018-04-01T00:00:31+24:00",
                "2018-04-01T00:00:31Z\\n",
                "2018-04-01T00:00:31.Z",
            ]
        ],
        ("status", f'"{"x" * 33}"'),
        ("channel", f'"{"x" * 33}"'),
        *[
            (name, f'"{text}"')
            for name in OPTIONAL
            for text in ["x" * 65, "a\\n", "\\u001f", "\u007f", "\u009f", "a\\tb"]
        ],
        *[("country", f'"{text}"') for text in ["I", "IND", "I1", "in\\n", "ÉI"]],
        *[("meta_data", meta) for meta in ["1", '"a"', "[]", "true"]],
    ],
)
def test_what_the_schema_can_refuse_both_refuse(name: str, value: str) -> None:
    value = value.replace("%s", USUAL["id"].strip('"'))
    assert not valid_by_code(changed(name, value))
    assert not valid_by_schema(changed(name, value))


@pytest.mark.parametrize("value", ["null", "[]", "1", '"a"', "[{}]", "{}"])
def test_what_is_not_an_object_fails_both(value: str) -> None:
    assert not valid_by_code(value)
    assert not valid_by_schema(value)


ANY: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just({})
)
LIKELY = st.from_regex(
    r"[-0-9.eE]{1,8}|[A-Za-z]{3}|[0-9]{4}-0[0-9]-[0-3][0-9][Tt ]00:00:0[0-9][Z+-]?([0-9]{2}:?[0-9]{2})?"
)


@given(st.sampled_from(sorted(FIELDS)), ANY | LIKELY)
def test_whatever_the_code_takes_the_schema_takes(name: str, value: Any) -> None:
    shown = changed(name, json.dumps(value))
    assert valid_by_schema(shown) or not valid_by_code(shown)


NAMES = st.none() | st.text(min_size=1, max_size=64)
# Hypothesis draws texts from our source too, and a decoder leaves out what only a verdict says.
KEYS = st.text().filter(lambda name: name not in VERDICT_NAMES)


@given(
    st.builds(
        Transaction,
        id=st.uuids().map(str),
        user_id=st.uuids().map(str),
        amount=st.integers(0, 10**20 - 1),
        currency=st.from_regex(r"[A-Za-z]{3}", fullmatch=True),
        txn_date=st.datetimes(timezones=st.just(UTC)),
        status=st.text(max_size=32),
        meta_data=st.none()
        | st.dictionaries(KEYS, ANY)
        | st.fixed_dictionaries({"is_anomaly": ANY, "mean": ANY}),
        merchant_id=NAMES,
        card_id=NAMES,
        country=st.none() | st.sampled_from(["IN", "DE"]),
        channel=st.none() | st.text(min_size=1, max_size=32),
    ),
    st.none() | st.just(mean_flag("0.03", 10, 5.01, "0.15")),
    st.just(0) | st.integers(2),
)
def test_every_row_is_valid_by_the_schema_and_by_the_type(
    txn: Transaction, flag: Flag | None, revision: int
) -> None:
    row, _ = encode_scored(txn, flag, revision)
    SCORED.validate(json.loads(row))
    assert msgspec.json.decode(row, type=Scored).id == txn.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 12.3},
        {"amount": "12.3"},
        {"amount": "012.30"},
        {"amount": "1234567890123456789.00"},
        {"txn_date": "2018-04-01T05:30:31+05:30"},
        {"id": "F06A72CF-E094-50A7-B663-8929E421DD6F"},
        {"meta_data": {}},
        {"meta_data": None},
        {"meta_data": {"is_anomaly": "true"}},
        {"meta_data": {"is_anomaly": True}},
        {"meta_data": {"is_anomaly": False, "revision": 1}},
        {
            "meta_data": {
                "is_anomaly": True,
                "detector": "rolling_mean",
                "mean": 1,
                "window": 1,
                "ratio": 6.0,
                "threshold": "5.00",
            }
        },
        {"extra": 1},
        {"country": "in"},
        {"merchant_id": ""},
        {"merchant_id": None},
        {"channel": "x" * 33},
    ],
)
def test_a_row_of_another_form_fails_the_schema(wrong: dict[str, Any]) -> None:
    assert not SCORED.is_valid({**SCORED_SCHEMA["examples"][0], **wrong})
