"""Whether a row tells of a transaction as it was given."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.content import SAID_NAMES, tells_of
from schemas.scored import encode_scored
from stream_app.detectors import verdict_names
from tests.support.rows import FLAG, made, user

GIVEN = made(user(1), meta_data={"shop": 7, "rate": Decimal("1.50")}, merchant_id="bakery").txn


def test_whatever_verdicts_of_our_detectors_say_is_left_out() -> None:
    assert verdict_names() == SAID_NAMES


@pytest.mark.parametrize("flag", [None, FLAG])
@pytest.mark.parametrize("revision", [0, 3])
def test_a_row_tells_of_its_transaction_whatever_the_verdict(flag: Any, revision: int) -> None:
    row, _ = encode_scored(GIVEN, flag, revision, shadow={"odds": {"score": 7}})

    assert tells_of(row, GIVEN)
    assert tells_of(row.decode().replace("1.50", "1.5").replace(',"', ', "'), GIVEN)


@pytest.mark.parametrize(
    "other",
    [
        {"id": user(2)},
        {"user_id": user(2)},
        {"amount": 1231},
        {"currency": "EUR"},
        {"txn_date": made(user(1)).txn.txn_date.replace(microsecond=1)},
        {"status": "declined"},
        {"meta_data": {"shop": 7}},
        {"meta_data": {"shop": 7, "rate": Decimal("1.50"), "till": 1}},
        {"meta_data": None},
        {"merchant_id": None},
        {"channel": "web"},
    ],
    ids=str,
)
def test_a_row_tells_of_no_other_transaction(other: dict[str, Any]) -> None:
    assert not tells_of(encode_scored(GIVEN, FLAG)[0], msgspec.structs.replace(GIVEN, **other))


@pytest.mark.parametrize("row", [b"", b"[]", b"{}", b'{"id":7}', b"\xff"])
def test_what_is_no_row_tells_of_nothing(row: bytes) -> None:
    assert not tells_of(row, GIVEN)
