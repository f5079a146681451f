from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from api.routes.live import AnomalyStream
from api.routes.rows import Anomalies, Transactions, ranges_in_order
from api.web import params
from api.web.params import AMOUNT, COUNTRY, CURSOR, FLAG, FROM, TO, UUID, Kind, NoParameters, integer
from api.web.problems import BadParameters, ParameterError

USER = "0b6c2c1e-3d4e-4f5a-8b9c-0d1e2f3a4b5c"


def read(declared: type[Any], query: str, headers: dict[str, str] | None = None) -> Any:
    request = make_mocked_request("GET", str(URL.build(path="/x", query_string=query, encoded=True)), headers)
    return params.read(declared, request, ranges_in_order)


def refused(declared: type[Any], query: str) -> dict[str, str]:
    with pytest.raises(BadParameters) as raised:
        read(declared, query)
    assert raised.value.status == 422
    return {error.parameter: error.detail for error in raised.value.errors}


def test_what_is_not_given_has_its_default() -> None:
    query = read(Transactions, f"user_id={USER}")
    assert (query.limit, query.cursor, query.from_date, query.is_anomaly) == (None, None, None, None)


def test_what_the_old_client_sends_is_understood() -> None:
    query = read(
        Transactions,
        f"user_id={USER.upper()}&from_date=2018-04-01&to_date=2018-04-02T10:30:00.000Z"
        "&min_amount=0&max_amount=12.5&limit=50&cursor=",
    )
    assert query == Transactions(
        user_id=USER,
        from_date=datetime(2018, 4, 1, tzinfo=UTC),
        to_date=datetime(2018, 4, 2, 10, 30, tzinfo=UTC),
        min_amount=Decimal(0),
        max_amount=Decimal("12.5"),
        limit=50,
        cursor=None,
    )


def test_optional_fields_are_texts_and_a_country_is_in_capitals() -> None:
    query = read(Anomalies, "merchant_id=M%201/%C3%A9&card_id=%27%3B--&country=in&channel=web")
    assert (query.merchant_id, query.card_id) == ("M 1/é", "';--")
    assert (query.country, query.channel) == ("IN", "web")


def test_everything_wrong_is_named_at_once() -> None:
    wrong = "limit=0&min_amount=1.234&from_date=today&is_anomaly=maybe&cursor=%00&color=red"
    assert set(refused(Transactions, wrong)) == {
        "user_id", "limit", "min_amount", "from_date", "is_anomaly", "cursor", "color"
    }  # fmt: skip


def test_a_parameter_given_twice_is_refused_even_when_both_agree() -> None:
    assert refused(Transactions, f"user_id={USER}&limit=5&limit=5") == {"limit": "is given more than once"}


def test_a_route_without_parameters_takes_none() -> None:
    assert refused(NoParameters, "verbose=1") == {"verbose": "is not a parameter of this route"}


def test_what_gets_past_a_cache_is_no_parameter() -> None:
    assert read(NoParameters, "_=1732608000000") == NoParameters()


def test_a_live_client_may_have_any_other_parameter() -> None:
    request = make_mocked_request("GET", "/x?_=1&name[]=a&name[]=b&LIMIT=5")
    assert params.read(AnomalyStream, request, strict=False) == AnomalyStream()


@pytest.mark.parametrize("name", ["lastEventId", "Last-Event-ID", "last_event_id"])
def test_a_position_goes_by_the_names_that_clients_give_it(name: str) -> None:
    assert read(AnomalyStream, f"{name}=0a1b2c3d.0-7").last_event_id.offsets == {0: 7}


def test_what_a_client_adds_outweighs_what_its_address_had() -> None:
    added = "last_event_id=0a1b2c3d.0-7&lastEventId=0a1b2c3d.0-9"
    assert read(AnomalyStream, added).last_event_id.offsets == {0: 9}
    assert refused(AnomalyStream, "lastEventId=x") == {"last_event_id": "is not an event id of this service"}


def test_an_unknown_name_is_repeated_only_in_part() -> None:
    assert list(refused(NoParameters, "x" * 5000)) == ["x" * 100]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("from_date=2018-04-02&to_date=2018-04-01", "from_date"),
        ("min_amount=2&max_amount=1.99", "min_amount"),
    ],
)
def test_a_range_that_ends_before_it_starts_is_refused(query: str, named: str) -> None:
    assert list(refused(Transactions, f"user_id={USER}&{query}")) == [named]


def test_one_day_as_both_ends_is_the_whole_day() -> None:
    query = read(Transactions, f"user_id={USER}&from_date=2018-04-01&to_date=2018-04-01")
    assert query.to_date == datetime(2018, 4, 1, 23, 59, 59, 999999, tzinfo=UTC)


def test_a_check_sees_only_what_parsed() -> None:
    seen: list[Any] = []

    def check(values: Any) -> Iterator[ParameterError]:
        seen.append(dict(values))
        yield ParameterError("b", "is never right")

    @dataclass(frozen=True, kw_only=True)
    class Two:
        a: int = params.query(integer(1, 2), "")
        b: int = params.query(integer(1, 2), "")

    request = make_mocked_request("GET", "/x?a=9&b=1")
    with pytest.raises(BadParameters) as raised:
        params.read(Two, request, check)
    assert seen == [{"b": 1}]
    assert [error.parameter for error in raised.value.errors] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-04-01", datetime(2018, 4, 1, tzinfo=UTC)),
        ("2018-04-01T00:00:31Z", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01t00:00:31z", datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)),
        ("2018-04-01T05:30:00+05:30", datetime(2018, 4, 1, tzinfo=UTC)),
        ("2018-04-01T05:30:00 05:30", datetime(2018, 4, 1, tzinfo=UTC)),  # "+" as it arrives unescaped
        ("2018-03-31T20:00:00-0400", datetime(2018, 4, 1, tzinfo=UTC)),
        ("2018-04-01 10:15:01+00", datetime(2018, 4, 1, 10, 15, 1, tzinfo=UTC)),  # Postgres's own
        ("2018-04-01 10:15:01 05", datetime(2018, 4, 1, 5, 15, 1, tzinfo=UTC)),  # the same unescaped
        ("2018-04-01T10:15", datetime(2018, 4, 1, 10, 15, tzinfo=UTC)),  # <input type="datetime-local">
        ("2018-04-01 10:15:01", datetime(2018, 4, 1, 10, 15, 1, tzinfo=UTC)),
        ("2018-04-01T00:00:00.123456789Z", datetime(2018, 4, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_utc(text: str, expected: datetime) -> None:
    assert FROM.parse(text) == expected
    assert FROM.parse(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2018-02-30", "2018-04-01T25:00:00Z", "2018-04-01T00:00:60Z", "20180401", "2018-W13-7",
        "0000-01-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2018-04-01T00:00:00+99:00",
        "+010000-01-01T00:00:00Z", "\uff12018-04-01", "2018-04-01\n", "2018-04-01T", "1522540800",
    ],
)  # fmt: skip
def test_other_times_are_refused(text: str) -> None:
    for kind in (FROM, TO):
        with pytest.raises(ValueError, match="must be a date"):
            kind.parse(text)


def test_the_last_day_ends_at_its_last_moment() -> None:
    assert TO.parse("9999-12-31") == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize("spellings", [("true", "True", "1", "yes"), ("false", "FALSE", "0", "no")])
def test_a_flag_is_read_in_the_usual_spellings(spellings: tuple[str, ...]) -> None:
    assert {FLAG.parse(text) for text in spellings} == {spellings[0] == "true"}


@pytest.mark.parametrize(
    ("text", "expected"), [("0", "0"), ("12.3", "12.3"), ("999999999999999999.99", "999999999999999999.99")]
)
def test_amounts_are_exact(text: str, expected: str) -> None:
    assert AMOUNT.parse(text) == Decimal(expected)


@pytest.mark.parametrize(
    "text", ["", "-1", "1.234", "NaN", "Infinity", "1e400", "1_0", "٣", "0x1", "9" * 19, "1,5"]
)
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an amount"):
        AMOUNT.parse(text)


@pytest.mark.parametrize(
    "text", ["", "0", "1001", "-1", "1.0", "1e2", " 5", "\uff15", "1000000000", "9" * 5000]
)
def test_a_number_keeps_to_its_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole number from 1 to 1000"):
        integer(1, 1000).parse(text)


@pytest.mark.parametrize(
    "text", ["", "{0b6c2c1e-3d4e-4f5a-8b9c-0d1e2f3a4b5c}", USER.replace("-", ""), f"{USER}\n"]
)
def test_a_user_is_a_hyphenated_uuid(text: str) -> None:
    with pytest.raises(ValueError, match="must be a UUID"):
        UUID.parse(text)


@given(st.text())
def test_no_text_makes_a_kind_fail_otherwise(text: str) -> None:
    kinds: list[Kind[Any]] = [
        UUID, AMOUNT, FLAG, CURSOR, FROM, TO, integer(1, 10), COUNTRY, params.text(5, "a")
    ]  # fmt: skip
    for kind in kinds:
        with suppress(ValueError):
            kind.parse(text)
