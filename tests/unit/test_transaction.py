"""What the decoder takes and refuses: the table of the contract, row by row, and then any bytes at all."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.checks import OPTIONAL
from schemas.money import parse_amount
from schemas.refusal import REASONS, Reason, Refused
from schemas.scored import encode_scored
from schemas.strict_json import MAX_DEPTH
from schemas.transaction import Decoder, Transaction
from tests.support.messages import DATE, ID, USER, message

RECORD_MS = 1522540831000  # the same moment
DAY_MS = 86_400_000
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
DECODER = Decoder()


def decode(value: bytes, key: bytes | None = USER.encode(), timestamp_ms: int = RECORD_MS) -> Transaction:
    return DECODER.decode(value, key, timestamp_ms)


def reason(value: bytes, key: bytes | None = USER.encode(), timestamp_ms: int = RECORD_MS) -> Reason:
    with pytest.raises(Refused) as refused:
        DECODER.decode(value, key, timestamp_ms)
    assert refused.value.detail
    assert refused.value.detail.isprintable()
    assert len(refused.value.detail) < 300
    return refused.value.reason


def test_a_valid_message_is_read_in_full() -> None:
    value = message(meta_data='{"shop": 7, "tags": ["a", null, true, 0.25]}')
    assert decode(value) == Transaction(
        id=ID,
        user_id=USER,
        amount=5716,
        currency="EUR",
        txn_date=datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC),
        status="paid",
        meta_data={"shop": 7, "tags": ["a", None, True, 0.25]},
        unknown=0,
    )


@pytest.mark.parametrize(
    ("amount", "hundredths"),
    [
        ("12.30", 1230),
        ("12.3", 1230),
        ("12", 1200),
        ("0", 0),
        ("0.01", 1),
        ("-0.0", 0),
        ("-0", 0),
        ("-0e5", 0),
        ("12.300", 1230),
        ("1.23e1", 1230),
        ("1.23E+1", 1230),
        ("1230e-2", 1230),
        ("0e999999999", 0),
        ("999999999999999999.99", 10**20 - 1),
        ("9.9999999999999999999e17", 10**20 - 1),
        ("0." + "0" * 60000 + "1e60000", 10),
        ("1" + "0" * 60000 + "e-60000", 100),
    ],
)
def test_an_amount_is_read_as_decimal_text_whether_number_or_string(amount: str, hundredths: int) -> None:
    assert decode(message(amount=amount)).amount == hundredths
    assert decode(message(amount=f'"{amount}"')).amount == hundredths


@pytest.mark.parametrize(
    "amount",
    [
        "123456789012345678901234567890",
        "12.345",
        "0.001",
        "1e-3",
        "1e400",
        "1e999999999999",
        "1e-999999999999",
        "1e" + "9" * 60000,
        "1e18",
        "1000000000000000000",
        "-0.01",
        "-1",
        "-1e99",
        "9" * 60000,
    ],
)
def test_an_amount_that_is_no_money_is_refused_whether_number_or_string(amount: str) -> None:
    assert reason(message(amount=amount)) == "amount"
    assert reason(message(amount=f'"{amount}"')) == "amount"


@pytest.mark.parametrize(
    "amount",
    [
        *["true", "false", "null", "{}", "[]", "[1]", '{"a":1}', None],
        *['""', '" "', '" 1"', '"1 "', '"1_000"', '"+1"', '"1,000"', '"1."', '".5"', '"01"', '"0x1"', '"1e"'],
        *['"NaN"', '"Infinity"', '"-Infinity"', '"inf"', '"12.30 EUR"', '"1\\n"', '"\\"1"', '"--1"'],
        *['"\u0661\u0662"', '"\\u0661"', '"\uff11"', '"\u00b2"'],
    ],
)
def test_an_amount_of_another_form_is_refused(amount: str | None) -> None:
    assert reason(message(amount=amount)) == "amount"


def test_an_amount_may_be_written_with_escapes() -> None:
    assert decode(message(amount='"\\u0031.5"')).amount == 150


@pytest.mark.parametrize("bare", ["NaN", "Infinity", "-Infinity"])
def test_a_float_that_is_no_number_is_refused_as_an_amount(bare: str) -> None:
    assert reason(message(amount=bare)) == "amount"
    assert reason(message(amount=bare, meta_data=f'{{"amount": {bare}}}')) == "amount"


def test_a_float_that_is_no_number_in_any_other_place_is_no_json() -> None:
    assert reason(message(meta_data='{"amount": NaN}')) == "json"
    assert reason(message(status="NaN")) == "json"


@pytest.mark.parametrize("bare", ["nan", "inf", "+Infinity", "+1", "01", "1.", ".5", "0x1", "1_000", "- 1"])
def test_what_json_has_no_number_for_is_refused_as_json(bare: str) -> None:
    assert reason(message(amount=bare)) == "json"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"\n\t ",
        b"null",
        b"true",
        b"1",
        b'"a"',
        b"[1]",
        b"[]",
        b"[{}]",
        b"{",
        b"{]",
        b"\x00",
        b"\xff",
        message() + b"x",
        message() + b"}",
        message() + message(),
        message() + b"\x00",
        message()[:-1],
        message()[1:],
        b"\xef\xbb\xbf" + message(),
        message().decode().encode("utf-16"),
        message().decode().encode("utf-16-be"),
        message().decode().encode("utf-32"),
        message().replace(b"paid", b"pa\xffid"),
        message().replace(b"paid", b"pa\xed\xa0\x80id"),  # a surrogate in UTF-8
        message().replace(b"paid", b"pa\xc0\x80id"),  # NUL, overlong
        message(x='"?"').replace(b"?", b"\xff"),  # in a field that is left out
        message(amount='"?"').replace(b"?", b"\xff"),
        message(x='"a\x01b"'),
        message(x='"a\x00b"'),
        message(x='"\\q"'),
        message(x='"\\u00zz"'),
        message(x='"\\ud800').rstrip(b"}"),
        message(x="[1,]"),
        message().replace(b"{", b"{,"),
        message().replace(b'"paid"', b"'paid'"),
        message() + b"// comment",
    ],
)
def test_what_is_not_one_json_object_in_utf_8_is_refused(value: bytes) -> None:
    assert reason(value) == "json"


def test_space_around_the_object_and_its_parts_is_json() -> None:
    assert (
        decode(b" \n" + message().replace(b":", b" : ").replace(b"00 : 00 : 31", b"00:00:31") + b"\r\n\t ").id
        == ID
    )


@pytest.mark.parametrize("field", ["meta_data", "x"])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded_whatever_is_left_of_the_stack(field: str, start: str, end: str) -> None:
    def nested(levels: int) -> bytes:
        return message(**{field: '{"a":' + start * levels + "1" + end * levels + "}"})

    taken = decode(nested(MAX_DEPTH - 2))
    assert json.loads(encode_scored(taken, None)[0])
    assert reason(nested(MAX_DEPTH - 1)) == "json"
    assert reason(nested(5000)) == "json"


def test_many_objects_beside_each_other_are_not_deep() -> None:
    meta = {"a": [{"b": ["}]\\"]}] * 1000}
    assert decode(message(meta_data=json.dumps(meta))).meta_data == meta


def test_brackets_in_strings_are_not_depth() -> None:
    meta = {"a": '[{"\\' * 500}
    assert decode(message(meta_data=json.dumps(meta))).meta_data == meta


def test_only_unclosed_brackets_are_refused_without_following_them() -> None:
    assert reason(b"[" * 65536) == "json"
    assert reason(b'{"a":' * 13000) == "json"


def test_a_message_above_the_limit_is_refused_before_anything_is_read() -> None:
    room = 65536 - len(message(status='""'))
    assert reason(message(status=f'"{"x" * room}"')) == "status"
    assert reason(message(status=f'"{"x" * (room + 1)}"')) == "size"
    assert reason(b"\xff" * 65537) == "size"


@pytest.mark.parametrize(
    "escape", [r"\u0000", r"\ud800", r"\uDFFF", r"\udc00\ud800", r"\ud800\u0041", r"\ud83d\ud83d"]
)
@pytest.mark.parametrize(
    "where",
    [
        {"status": '"a?"'},
        {"status": '"?"'},
        {"id": '"?"'},
        {"amount": '"?"'},
        {"meta_data": '{"a":"?b"}'},
        {"meta_data": '{"?":1}'},
        {"meta_data": '{"a":[{"b":["?"]}]}'},
        {"x": '"?"'},
        {"x": '{"a":{"?":1}}'},
        {"x?": "1"},
        {"meta_data": '"?"'},
        {"status": '"\\\\?"'},
        {"status": '"?\\n\\u00e9"'},
    ],
)
def test_a_character_that_cannot_be_stored_is_refused_wherever_it_is(
    escape: str, where: dict[str, str]
) -> None:
    escaped = {name.replace("?", escape): value.replace("?", escape) for name, value in where.items()}
    assert reason(message(**escaped)) == "text"


def test_a_character_that_cannot_be_stored_counts_even_in_a_key_given_twice() -> None:
    assert reason(message().replace(b'"id"', b'"status":"\\u0000","id"', 1)) == "text"


def test_other_escapes_are_read() -> None:
    value = message(status=r'"\ud83d\ude00\\u0000\\\u0041\uffff\/"', meta_data=r'{"\u00e9":"\\ud800"}')
    txn = decode(value)
    assert txn.status == "\U0001f600\\u0000\\A\uffff/"
    assert txn.meta_data == {"é": "\\ud800"}


@pytest.mark.parametrize("field", ["id", "user_id"])
@pytest.mark.parametrize(
    "value",
    [
        *[None, "null", "1", "true", "[]", "{}", '""', '"abc"'],
        f'"{{{ID}}}"',
        f'"urn:uuid:{ID}"',
        f'"{ID.replace("-", "")}"',
        f'" {ID}"',
        f'"{ID} "',
        f'"{ID}\\n"',
        f'"{ID[:-1]}"',
        f'"{ID}0"',
        f'"{ID[:-1]}g"',
        f'"{ID[:-1]}\uff11"',
        f'"{ID.replace("-", "_")}"',
        f'"{ID.replace("-", "", 1)}-"',
    ],
)
def test_what_is_not_a_uuid_with_hyphens_is_refused(field: Reason, value: str | None) -> None:
    assert reason(message(**{field: value})) == field


def test_uuids_in_upper_case_are_read_in_lower_case() -> None:
    txn = decode(message(id=f'"{ID.upper()}"', user_id=f'"{USER.title()}"'))
    assert (txn.id, txn.user_id) == (ID, USER)


@pytest.mark.parametrize(
    "key", [None, b"", USER.upper().encode(), ID.encode(), USER.encode() + b" ", b"\xff", b"x" * 9999]
)
def test_a_key_that_is_not_the_lower_case_text_of_user_id_is_refused(key: bytes | None) -> None:
    assert reason(message(), key) == "key"
    assert reason(message(user_id=f'"{USER.upper()}"'), key) == "key"


@pytest.mark.parametrize(
    ("date", "utc"),
    [
        ("2018-04-01T05:30:31+05:30", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-03-31T14:00:31-10:00", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01T00:00:31+0000", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01T05:30:31+0530", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01T00:00:31-00:00", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01t00:00:31z", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01 00:00:31Z", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01T00:00:31.5Z", datetime(2018, 4, 1, 0, 0, 31, 500000, tzinfo=UTC)),
        ("2018-04-01T00:00:31.1234564Z", datetime(2018, 4, 1, 0, 0, 31, 123456, tzinfo=UTC)),
        ("2018-04-01T00:00:31.9999995Z", datetime(2018, 4, 1, 0, 0, 32, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("2016-02-29T00:00:00Z", datetime(2016, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_date_with_an_offset_is_read_in_utc(date: str, utc: datetime) -> None:
    read = decode(message(txn_date=f'"{date}"')).txn_date
    assert read == utc
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "date",
    [
        *[None, "null", "1522540831", "1522540831000", "true", "{}", '""', '"now"'],
        '"2018-04-01"',
        '"2018-04-01T00:00:31"',
        '"2018-04-01T00:00Z"',
        '"2018-04-01T00Z"',
        '"0000-01-01T00:00:00Z"',
        '"2018-02-30T00:00:00Z"',
        '"2018-02-29T00:00:00Z"',
        '"2018-13-01T00:00:00Z"',
        '"2018-04-01T24:00:00Z"',
        '"2018-04-01T23:60:00Z"',
        '"2016-12-31T23:59:60Z"',
        '"2018-04-01T00:00:31+24:00"',
        '"2018-04-01T00:00:31.Z"',
        '"2018-04-01T00:00:31,5Z"',
        '"20180401T000031Z"',
        '" 2018-04-01T00:00:31Z"',
        '"2018-04-01T00:00:31Z "',
        '"+2018-04-01T00:00:31Z"',
        '"12018-04-01T00:00:31Z"',
        '"2018-04-01T00:00:31 UTC"',
        '"0001-01-01T00:00:00+00:01"',
    ],
)
def test_what_is_not_a_date_with_an_offset_is_refused(date: str | None) -> None:
    assert reason(message(txn_date=date)) == "txn_date"


@pytest.mark.parametrize("date", ["9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59.9999999Z"])
def test_a_date_beyond_the_end_of_the_calendar_is_refused_also_without_a_record_timestamp(date: str) -> None:
    assert reason(message(txn_date=f'"{date}"'), timestamp_ms=-1) == "txn_date"


def test_a_date_up_to_24_hours_ahead_of_the_record_is_taken() -> None:
    assert decode(message(), timestamp_ms=RECORD_MS - DAY_MS).id == ID
    assert reason(message(), timestamp_ms=RECORD_MS - DAY_MS - 1) == "txn_date"
    assert decode(message(), timestamp_ms=2**63 - 1).id == ID


def test_how_far_ahead_and_how_large_are_the_owners_choice() -> None:
    strict = Decoder(max_bytes=len(message()), max_ahead=timedelta(minutes=1))
    assert strict.decode(message(), USER.encode(), RECORD_MS - 60_000).id == ID
    with pytest.raises(Refused, match=r"^txn_date"):
        strict.decode(message(), USER.encode(), RECORD_MS - 60_001)
    with pytest.raises(Refused, match=r"^size"):
        strict.decode(message() + b" ", USER.encode(), RECORD_MS)


def test_a_record_without_a_timestamp_is_not_compared() -> None:
    assert decode(message(txn_date='"9999-12-31T23:59:59Z"'), timestamp_ms=-1).id == ID


@pytest.mark.parametrize(
    "currency",
    [
        None,
        "null",
        "1",
        '""',
        '"EU"',
        '"EURO"',
        '"E1R"',
        '"E R"',
        '"\u20ac\u20ac\u20ac"',
        '"\u00c9UR"',
        '"EUR\\n"',
    ],
)
def test_a_currency_that_is_not_three_letters_is_refused(currency: str | None) -> None:
    assert reason(message(currency=currency)) == "currency"


MORE = {"merchant_id": "M 1/é", "card_id": "411111******1111", "country": "IN", "channel": "web"}


def more_of(value: bytes) -> dict[str, str | None]:
    txn = decode(value)
    return {name: getattr(txn, name) for name in OPTIONAL}


def test_the_optional_fields_are_kept_as_they_are_and_countries_in_capitals() -> None:
    assert more_of(message(**{name: json.dumps(text) for name, text in MORE.items()})) == MORE
    assert more_of(message(country='"in"'))["country"] == "IN"
    assert decode(message(country='"in"')).unknown == 0
    longest = {"merchant_id": "é" * 64, "card_id": "c" * 64, "country": "ZZ", "channel": "x" * 32}
    assert more_of(message(**{name: json.dumps(text) for name, text in longest.items()})) == longest


@pytest.mark.parametrize("absent", [None, "null", '""'])
def test_an_optional_field_that_is_null_or_empty_is_absent(absent: str | None) -> None:
    assert set(more_of(message(**dict.fromkeys(OPTIONAL, absent))).values()) == {None}
    assert more_of(message(channel='"web"', card_id=absent))["channel"] == "web"


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize(
    "value",
    ["7", "true", "[]", '["a"]', "{}", f'"{"x" * 65}"', '"a\\n"', '"\\u0007"', '"a\u007f"', '"\u0085b"'],
)
def test_an_optional_field_that_is_no_such_text_is_refused_under_its_name(name: Reason, value: str) -> None:
    assert reason(message(**{name: value})) == name


@pytest.mark.parametrize("country", ["I", "IND", "356", "I1", "I ", "\u0130N", "\uff29\uff2e", "India"])
def test_a_country_is_two_letters(country: str) -> None:
    assert reason(message(country=f'"{country}"')) == "country"


def test_a_channel_is_at_most_32_characters() -> None:
    assert reason(message(channel=f'"{"x" * 33}"')) == "channel"


def test_a_currency_is_kept_as_it_is() -> None:
    assert decode(message(currency='"inr"')).currency == "inr"


@pytest.mark.parametrize(
    "status", [None, "null", "1", "true", "[]", f'"{"x" * 33}"', '"' + "\U0001f600" * 33 + '"']
)
def test_a_status_that_is_no_text_or_too_long_is_refused(status: str | None) -> None:
    assert reason(message(status=status)) == "status"


@pytest.mark.parametrize("status", ["", "x" * 32, "\U0001f600" * 32, "\u00e9", "a\tb"])
def test_a_status_of_up_to_32_characters_is_kept(status: str) -> None:
    assert decode(message(status=json.dumps(status))).status == status
    assert decode(message(status=json.dumps(status, ensure_ascii=False))).status == status


@pytest.mark.parametrize("meta", ["1", "true", '"a"', "[]", '[{"a":1}]'])
def test_meta_data_that_is_no_object_is_refused(meta: str) -> None:
    assert reason(message(meta_data=meta)) == "meta_data"


def test_meta_data_absent_and_null_are_the_same() -> None:
    assert decode(message()).meta_data is None
    assert decode(message(meta_data="null")).meta_data is None
    assert decode(message(meta_data="{}")).meta_data == {}


@pytest.mark.parametrize(
    "number",
    [
        "1e309",
        "-1e400",
        "1e-400",
        "1" + "0" * 308,
        "-1" + "0" * 308,
        "9" * 5000,
        "0." + "1" * 400,
        "1e9999999999",
    ],
)
def test_a_number_that_readers_would_not_see_as_it_is_is_refused_in_meta_data(number: str) -> None:
    assert reason(message(meta_data=f'{{"a":[{number}]}}')) == "meta_data"
    assert reason(message(meta_data=f'{{"a":[{number}]}}', x="1")) == "meta_data"


@pytest.mark.parametrize("number", ["1e400", "9" * 5000])
def test_a_number_in_a_field_that_is_left_out_does_not_matter(number: str) -> None:
    assert decode(message(x=number)).unknown == 1


def test_a_long_run_of_digits_in_a_string_is_no_number() -> None:
    assert decode(message(meta_data=f'{{"a":"{"9" * 5000}"}}')).meta_data == {"a": "9" * 5000}


@pytest.mark.parametrize(
    "number",
    [
        *["0", "-0.0", "1", "1.0", "1.50", "1e2", "-1.5E-7", "0e99999999", "5e-324", "4.94e-324"],
        *[
            "9007199254740993",
            "12345678901234567890.12",
            "0.1",
            "0.30000000000000004",
            "0.3000000000000000444",
        ],
        *[
            "1e308",
            "1.7976931348623157e308",
            "9" * 308,
            "18446744073709551616",
            "-" + "9" * 308,
            "0." + "1" * 306,
        ],
    ],
)
def test_a_number_in_meta_data_keeps_its_value_through_the_row(number: str) -> None:
    _, meta = encode_scored(decode(message(meta_data=f'{{"a":{number}}}')), None)
    assert json.loads(meta, parse_float=Decimal, parse_int=Decimal)["a"] == Decimal(number)


def test_unknown_fields_are_left_out_and_counted() -> None:
    txn = decode(message(x="1", label='{"id":"no"}'))
    assert txn.unknown == 2
    assert b"label" not in encode_scored(txn, None)[0]


def test_names_of_fields_are_exact() -> None:
    assert reason(message(status=None, Status='"paid"')) == "status"
    assert decode(message(status=None, **{"st\\u0061tus": '"new"'})).status == "new"


@pytest.mark.parametrize("unknown", ["", ',"x":1'])
def test_of_a_key_given_twice_the_last_counts(unknown: str) -> None:
    twice = (
        message(amount="null").removesuffix(b"}")
        + f',"amount":2,"meta_data":{{"a":1,"a":2}}{unknown}}}'.encode()
    )
    txn = decode(twice)
    assert (txn.amount, txn.meta_data) == (200, {"a": 2})
    assert reason(message().removesuffix(b"}") + f',"amount":null{unknown}}}'.encode()) == "amount"


BROKEN = {
    "id": '"?"',
    "user_id": '"?"',
    "amount": "null",
    "txn_date": "null",
    "currency": "null",
    "status": "null",
    "meta_data": "1",
    "merchant_id": "1",
    "card_id": "1",
    "country": "1",
    "channel": "1",
}


def test_of_several_faults_the_first_of_the_documented_order_is_the_reason() -> None:
    faulty: dict[str, str | None] = {**BROKEN}
    found: list[str] = []
    while faulty:
        found.append(reason(message(**faulty)))
        del faulty[found[-1]]
    order = [reason for reason in REASONS if reason in BROKEN]
    assert found == order
    assert reason(message(amount="null"), key=b"?") == "key"
    assert reason(message(user_id="null"), key=b"?") == "user_id"
    assert reason(message(id="null", x='"\\u0000"')) == "text"
    assert reason(message(x='"\\u0000"') + b"x") == "json"
    assert reason(b"x" * 65537) == "size"


# From here on: whatever the bytes are.

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ID, USER, DATE, "1.5"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NUMBER_TEXT = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def check(value: bytes) -> Transaction | None:
    """The transaction, checked for being fit to store and to send on; None when the value is refused."""
    try:
        txn = decode(value)
    except Refused as refused:
        assert refused.reason in REASONS  # noqa: PT017 - None is as right
        return None
    row, meta = encode_scored(txn, None)
    read = json.loads(row, parse_constant=pytest.fail)
    assert read["meta_data"] == json.loads(meta)
    assert parse_amount(read["amount"]) == txn.amount < 10**20
    assert datetime.fromisoformat(read["txn_date"]) == txn.txn_date
    assert len(read["currency"]) == 3
    assert len(read["status"]) <= 32
    assert b"\\u0000" not in row.replace(b"\\\\", b"")
    row.decode()
    assert len(row) < 20 * len(value) + 200
    return txn


@given(st.binary())
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    check(value)


@given(st.data())
def test_a_valid_message_with_some_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    value = bytearray(message(meta_data='{"a":[1,2.5,"\\ud83d\\ude00\\n",{"é":null}]}', x='{"y":[1e5]}'))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(value)))
        end = data.draw(st.integers(start, min(len(value), start + 5)))
        value[start:end] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"\\", b"\\u", b"{", b"}", b"[", b",", b"0"])
        )
    check(bytes(value))


@given(JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    check(json.dumps(value).encode())


@given(st.sampled_from([*BROKEN, "x"]), JSON)
def test_any_json_as_any_field_is_read_or_refused(name: str, value: Any) -> None:
    check(message(**{name: json.dumps(value)}))
    check(message(**{name: json.dumps(value, ensure_ascii=False)}))


@given(
    st.sampled_from([*BROKEN, "x"]), st.text(alphabet=st.sampled_from('{}[]":,\\u0dD8cC1.eE-+ntrue \x00é'))
)
def test_any_text_in_place_of_a_field_is_read_or_refused(name: str, text: str) -> None:
    check(message(**{name: text}))


@given(JSON | st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_both_ways_of_reading_agree(meta: Any) -> None:
    shown = json.dumps(meta)
    directly, with_an_unknown_field = check(message(meta_data=shown)), check(message(meta_data=shown, x="1"))
    if directly is None or with_an_unknown_field is None:
        assert directly is with_an_unknown_field
        return
    assert encode_scored(directly, None) == encode_scored(with_an_unknown_field, None)


@given(NUMBER_TEXT)
def test_an_amount_is_taken_exactly_when_it_is_money(text: str) -> None:
    value = Decimal(text)
    is_money = 0 <= value < 10**18 and value * 100 == int(value * 100)
    for shown in (text, f'"{text}"'):
        txn = check(message(amount=shown))
        assert (txn is not None) == is_money
        assert txn is None or Decimal(txn.amount) == value * 100


@given(NUMBER_TEXT)
def test_a_number_in_meta_data_is_kept_or_refused_but_never_changed(text: str) -> None:
    txn = check(message(meta_data=f'{{"a":{text}}}'))
    if txn is None:
        assert not Decimal("1e-323") < abs(Decimal(text)) < Decimal("1e308")
        return
    _, meta = encode_scored(txn, None)
    assert json.loads(meta, parse_float=Decimal, parse_int=Decimal)["a"] == Decimal(text)


@given(st.datetimes(), st.integers(-1439, 1439))
def test_any_date_of_the_calendar_is_read_in_utc_unless_utc_is_beyond_it(
    local: datetime, minutes: int
) -> None:
    offset = timedelta(minutes=minutes)
    shown = f'"{local.replace(tzinfo=timezone(offset)).isoformat()}"'
    if timedelta() <= local.replace(tzinfo=UTC) - FIRST - offset <= LAST - FIRST:
        txn = DECODER.decode(message(txn_date=shown), USER.encode(), -1)
        assert txn.txn_date == (local - offset).replace(tzinfo=UTC)
    else:
        assert reason(message(txn_date=shown), timestamp_ms=-1) == "txn_date"
