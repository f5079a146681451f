"""What the decoder takes, Postgres takes: one such message that it did not would stop the whole pipeline."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.money import amount_text
from schemas.refusal import Refused
from schemas.scored import encode_scored
from schemas.transaction import Decoder, Transaction

ID = "f06a72cf-e094-50a7-b663-8929e421dd6f"
USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
INSERT = """
    INSERT INTO transactions (id, user_id, amount, currency, txn_date, status, meta_data)
    VALUES ($1, $2, $3::text::numeric(20, 2), $4, $5::text::timestamptz, $6, $7::text::jsonb)
    RETURNING id::text, user_id::text, amount::text, currency, txn_date, status, meta_data::text
"""


def message(**changed: str) -> bytes:
    usual = {
        "id": f'"{ID}"',
        "user_id": f'"{USER}"',
        "amount": '"57.16"',
        "currency": '"EUR"',
        "txn_date": '"2018-04-01T00:00:31Z"',
        "status": '"paid"',
    }
    fields = ",".join(f'"{name}":{value}' for name, value in {**usual, **changed}.items())
    return f"{{{fields}}}".encode()


async def assert_stored(connection: asyncpg.Connection, txn: Transaction) -> None:
    row, meta = encode_scored(txn, None)
    transaction = connection.transaction()
    await transaction.start()
    # The date as text: asyncpg writes the first and the last moment of the calendar as infinity.
    columns = (
        txn.id,
        txn.user_id,
        amount_text(txn.amount),
        txn.currency,
        txn.txn_date.isoformat(),
        txn.status,
    )
    *stored, stored_meta = await connection.fetchrow(INSERT, *columns, meta.decode())
    await transaction.rollback()
    stored[4] = stored[4].isoformat()
    assert tuple(stored) == columns
    assert exactly(stored_meta) == exactly(row)["meta_data"]


def exactly(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "999999999999999999.99"},
        {"amount": "0"},
        {"txn_date": '"0001-01-01T00:00:00Z"'},
        {"txn_date": '"9999-12-31T23:59:59.999999Z"'},
        {"status": '"' + "\U0001f600" * 32 + '"'},
        {"status": '""'},
        {"status": '"\\u0001\\uffff\\ufeff\\\\u0000"'},
        {"meta_data": "{" + '"":{' * 98 + "}" * 99},
        {"meta_data": '{"a":' + "[" * 98 + "]" * 98 + "}"},
        {"meta_data": '{"a":[1e308,-1e308,5e-324,4.94e-324,-0.0,0e99,12345678901234567890.123456789]}'},
        {"meta_data": '{"a":' + "9" * 308 + "}"},
        {"meta_data": '{"a":[' + ",".join(["1e308"] * 8000) + "]}"},
        {"meta_data": '{"' + "k" * 60_000 + '":1}'},
        {"meta_data": '{"\\u0001":"\\ud83d\\ude00","a":1,"a":2}'},
    ],
)
async def test_the_extremes_of_what_is_taken_are_stored_as_they_are(
    database: str, changed: dict[str, str]
) -> None:
    connection = await asyncpg.connect(database)
    try:
        await assert_stored(connection, Decoder().decode(message(**changed), USER.encode(), -1))
    finally:
        await connection.close()


NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
TEXT = st.text(max_size=10).map(json.dumps) | st.sampled_from(['"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"'])
JSON = st.recursive(
    NUMBER | TEXT | st.sampled_from(["null", "true"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(TEXT, inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        )
    ),
)


async def test_whatever_is_taken_is_stored_as_it_is(database: str) -> None:
    connection = await asyncpg.connect(database)
    stored = 0
    taken: list[Transaction] = []

    @settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
    @given(NUMBER, TEXT, JSON.map(lambda value: f'{{"a":{value}}}'))
    def gather(amount: str, status: str, meta_data: str) -> None:
        for changed in ({"amount": amount}, {"status": status}, {"meta_data": meta_data}):
            with suppress(Refused):
                taken.append(Decoder().decode(message(**changed), USER.encode(), -1))

    gather()
    try:
        for txn in taken:
            await assert_stored(connection, txn)
            stored += 1
    finally:
        await connection.close()
    assert stored > 100
