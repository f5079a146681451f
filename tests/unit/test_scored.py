"""What readers of verdicts get."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import amount_text, parse_amount
from schemas.scored import Flag, Scored, decode_flag, encode_flag, encode_scored
from schemas.transaction import Transaction
from tests.support.detectors import mean_flag

ID = "f06a72cf-e094-50a7-b663-8929e421dd6f"
USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
FLAG = mean_flag(mean="15.00", window=20, ratio=7.5, threshold="75.00")
FLAGGED = {
    "is_anomaly": True,
    "detector": "rolling_mean",
    "mean": "15.00",
    "window": 20,
    "ratio": 7.5,
    "threshold": "75.00",
}


def transaction(meta_data: dict[str, Any] | None = None, **changed: Any) -> Transaction:
    usual = Transaction(
        id=ID,
        user_id=USER,
        amount=11250,
        currency="INR",
        txn_date=datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC),
        status="paid",
        meta_data=meta_data,
    )
    return msgspec.structs.replace(usual, **changed)


def test_the_row_has_exactly_the_published_form() -> None:
    row, _ = encode_scored(transaction(), None)
    assert row == (
        b'{"id":"f06a72cf-e094-50a7-b663-8929e421dd6f","user_id":"1e145f1e-f2e1-512a-aebb-35bb6597e178",'
        b'"amount":"112.50","currency":"INR","txn_date":"2018-04-01T00:00:31Z","status":"paid",'
        b'"meta_data":{"is_anomaly":false}}'
    )


@pytest.mark.parametrize("flag", [None, FLAG])
@pytest.mark.parametrize("meta", [None, {}, {"shop": 7, "a": ["é", None, 1.5, {"b": "\n"}]}])
def test_the_meta_data_alone_is_the_meta_data_of_the_row(
    meta: dict[str, Any] | None, flag: Flag | None
) -> None:
    row, meta_data = encode_scored(transaction(meta), flag)
    verdict = {"is_anomaly": False} if flag is None else FLAGGED
    assert json.loads(row)["meta_data"] == json.loads(meta_data) == {**(meta or {}), **verdict}
    assert row.endswith(b'"meta_data":' + meta_data + b"}")


def test_evidence_that_is_not_there_is_left_out() -> None:
    kind = msgspec.defstruct("Evidence", [("mean", str), ("limit", str | msgspec.UnsetType, msgspec.UNSET)])

    assert Flag("odds", kind("1.00")).facts == {"detector": "odds", "mean": "1.00"}
    assert decode_flag(encode_flag(Flag("odds", kind("1.00")))) == (
        Flag("odds", {"mean": "1.00"}),
        None,
        None,
        0,
    )


def test_a_producer_cannot_pose_as_the_verdict() -> None:
    posing = {
        "is_anomaly": "maybe",
        "detector": "mine",
        "mean": 1,
        "window": [],
        "ratio": None,
        "threshold": {},
        "a": 1,
    }
    assert json.loads(encode_scored(transaction(posing), FLAG)[1]) == {"a": 1, **FLAGGED}
    unflagged = encode_scored(transaction(posing), None)[1]
    assert json.loads(unflagged) == {**posing, "is_anomaly": False}
    assert unflagged.count(b"is_anomaly") == 1


def test_the_producers_meta_data_is_left_as_it_was() -> None:
    meta: dict[str, Any] = {"shop": 7}
    encode_scored(transaction(meta), FLAG)
    assert meta == {"shop": 7}


MORE = {"merchant_id": "m-1", "card_id": "c-1", "country": "IN", "channel": "web"}


@pytest.mark.parametrize("names", [["merchant_id"], ["country", "channel"], list(MORE)])
def test_the_optional_fields_stand_behind_the_others_where_they_are(names: list[str]) -> None:
    given = {name: MORE[name] for name in names}
    plain, meta = encode_scored(transaction({"shop": 7}), FLAG)

    row, of_full = encode_scored(transaction({"shop": 7}, **given), FLAG)

    assert row == plain[:-1] + b"," + msgspec.json.encode(given)[1:]
    assert of_full == meta
    assert msgspec.json.encode(msgspec.json.decode(row, type=Scored)) == row


def test_the_count_of_unknown_fields_is_not_in_the_row() -> None:
    assert encode_scored(transaction(unknown=3), None) == encode_scored(transaction(), None)


@given(
    st.integers(0, 10**20 - 1),
    st.datetimes(timezones=st.just(UTC)),
    st.text(max_size=32),
    st.sampled_from([None, FLAG]),
)
def test_a_row_is_read_back_as_it_was(
    amount: int, txn_date: datetime, status: str, flag: Flag | None
) -> None:
    row, _ = encode_scored(transaction(amount=amount, txn_date=txn_date, status=status), flag)
    read = msgspec.json.decode(row, type=Scored)
    assert (read.id, read.user_id, read.currency) == (ID, USER, "INR")
    assert (parse_amount(read.amount), read.txn_date, read.status) == (amount, txn_date, status)
    assert msgspec.json.encode(read) == row


@given(st.integers(0, 10**20 - 1))
def test_the_text_of_an_amount_has_two_decimals_and_is_read_back(hundredths: int) -> None:
    text = amount_text(hundredths)
    assert text[-3] == "."
    assert parse_amount(text) == hundredths
