"""Any record becomes a transaction that the strict decoder takes, or is refused with a reason."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mapping import Mapped, Mapper, MappingError, Unmapped, load_mapping
from schemas.mapping.formats import compiled
from schemas.mapping.ids import NAMESPACE
from schemas.refusal import REASONS
from schemas.transaction import Decoder, Transaction

DECODER = Decoder()
NOW_MS = 1_800_000_000_000
PLAIN: Mapping[str, str] = {
    "id": 'from = "id"\nread = "uuid5"\nkeep = false',
    "user_id": 'from = "user"\nread = "uuid5"\nkeep = false',
    "amount": 'from = "amount"',
    "txn_date": 'from = "date"',
    "currency": 'value = "EUR"',
    "status": 'value = "settled"',
}
RECORD: Mapping[str, object] = {"id": "T1", "user": "C1", "amount": "12.30", "date": "2018-04-01T00:00:31Z"}


def toml_of(**tables: str) -> str:
    return "\n".join(f"[{name}]\n{table}" for name, table in {**PLAIN, **tables}.items() if table)


def mapper(text: str = "", /, **tables: str) -> Mapper:
    return Mapper(load_mapping(f"{toml_of(**tables)}\n{text}"), DECODER)


def transaction(mapped: Mapped | None) -> Transaction:
    assert mapped is not None
    found = DECODER.decode(mapped.value, mapped.key, NOW_MS)
    assert found.txn_date == mapped.date
    return found


def read(record: Mapping[str, object], text: str = "", /, **tables: str) -> Transaction:
    return transaction(mapper(text, **tables).read({**RECORD, **record}, NOW_MS))


def refused(record: Mapping[str, object], text: str = "", /, **tables: str) -> str:
    with pytest.raises(Unmapped) as unmapped:
        mapper(text, **tables).read({**RECORD, **record}, NOW_MS)
    return str(unmapped.value)


def tried(record: Mapping[str, object], one: Mapper) -> Mapped | Unmapped | None:
    try:
        return one.read(record, NOW_MS)
    except Unmapped as unmapped:
        return unmapped


def wrong(text: str) -> str:
    with pytest.raises(MappingError) as error:
        load_mapping(text, "m.toml")
    return str(error.value)


def test_a_flat_record_is_mapped() -> None:
    found = read({})

    assert (found.id, found.user_id) == (str(uuid5(NAMESPACE, "T1")), str(uuid5(NAMESPACE, "C1")))
    assert (found.amount, found.currency, found.status) == (1230, "EUR", "settled")
    assert (found.txn_date, found.meta_data) == (datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC), None)


def test_many_records_are_read_as_each_is() -> None:
    records = [{**RECORD, "amount": amount} for amount in ["1", "x", "-1", 2, "3.5"]]
    several = mapper(amount='from = "amount"\nsign = "skip negative"')

    found = several.read_many(records, [NOW_MS] * len(records))

    assert [type(one) for one in found] == [Mapped, Unmapped, type(None), Mapped, Mapped]
    assert [found[0], found[4]] == [several.read(records[0], NOW_MS), several.read(records[4], NOW_MS)]


class TestIds:
    @pytest.mark.parametrize(
        "text",
        [
            "F06A72CF-E094-50A7-B663-8929E421DD6F",
            "f06a72cfe09450a7b6638929e421dd6f",
            "{f06a72cf-e094-50a7-b663-8929e421dd6f}",
            "urn:uuid:f06a72cf-e094-50a7-b663-8929e421dd6f",
        ],
    )
    def test_a_uuid_may_be_written_in_any_way(self, text: str) -> None:
        assert read({"id": text}, id='from = "id"').id == "f06a72cf-e094-50a7-b663-8929e421dd6f"

    def test_a_uuid_may_be_of_sixteen_bytes_or_of_its_own_type(self) -> None:
        uuid = UUID("f06a72cf-e094-50a7-b663-8929e421dd6f")
        assert {read({"id": value}, id='from = "id"').id for value in (uuid, uuid.bytes)} == {str(uuid)}

    def test_another_text_is_no_uuid_and_the_way_is_said(self) -> None:
        assert refused({"id": "T1"}, id='from = "id"') == (
            "id: 'T1' is no UUID: say read = \"uuid5\" to have one made of any text"
        )

    @pytest.mark.parametrize("value", ["", None, "NULL", "  "])
    def test_without_a_text_there_is_no_id(self, value: object) -> None:
        assert refused({"id": value}) == "id: missing"

    def test_the_same_number_gives_the_same_id_whatever_its_source_has_it_as(self) -> None:
        assert len({read({"id": value}).id for value in ("17", 17, 17.0, b"17", Decimal(17))}) == 1

    def test_the_original_is_kept_unless_it_is_not_to_be(self) -> None:
        assert read({}, id='from = "id"\nread = "uuid5"').meta_data == {"id": "T1"}

    def test_a_space_keeps_the_ids_of_different_sources_apart(self) -> None:
        spaced = read({}, id='from = "id"\nread = "uuid5"\nspace = "shop"').id
        assert spaced == str(uuid5(uuid5(NAMESPACE, "shop"), "T1"))

    def test_a_hash_is_of_all_its_values_each_by_its_name(self) -> None:
        table = 'from = ["user", "amount"]\nread = "hash"'
        equal: list[dict[str, object]] = [{}, {"id": "T2"}, {"amount": Decimal("12.30")}]
        same = {read(record, id=table).id for record in equal}
        others: list[dict[str, object]] = [
            {"user": "C11"},
            {"amount": "2.30"},
            {"user": "12.30", "amount": "1"},
            {"user": None},
        ]
        others_ids = {read(one, id=table, user_id=PLAIN["id"]).id for one in others}
        assert (len(same), len(others_ids | same)) == (1, 5)

    def test_a_hash_may_be_of_everything_in_any_order(self) -> None:
        every = mapper(id='from = "*"\nread = "hash"')
        one, other = dict(RECORD), dict(reversed(list(RECORD.items())))
        assert every.read(one, NOW_MS) == every.read(other, NOW_MS)
        assert every.read({**one, "x": [1]}, NOW_MS) != every.read({**one, "x": [2]}, NOW_MS)

    def test_one_user_may_be_everybody(self) -> None:
        assert read({}, user_id='value = "all"\nread = "uuid5"').user_id == str(uuid5(NAMESPACE, "all"))


class TestAmounts:
    @pytest.mark.parametrize(
        ("value", "table", "hundredths"),
        [
            (Decimal("12.30"), "", 1230),
            (12.3, "", 1230),
            (12, "", 1200),
            (Decimal("1E+2"), "", 10_000),
            ("1e+05", 'decimal = "."', 10_000_000),
            ("1.234,50", 'decimal = ","', 123_450),
            ("1'234.50", 'thousands = "\'"', 123_450),
            ("150.000", 'thousands = "."', 15_000_000),
            ("$134.09", 'remove = "$"', 13_409),
            ("$-99.00", 'remove = "$"\nsign = "absolute"', 9_900),
            ("-99.00", 'sign = "skip positive"', 9_900),
            ("(99.00)", 'sign = "absolute"', 9_900),
            ("99,00-", 'sign = "absolute"\ndecimal = ","', 9_900),
            ("+99.00", "", 9_900),
            ("1230", "minor_units = true", 1230),
            ("000000001230", "minor_units = 2", 1230),
            ("0012.30", "", 1230),
            (1230, "minor_units = 3", 123),
            ("31.937", 'decimal = "."\nround = "half even"', 3194),
            ("31.935", 'decimal = "."\nround = "half even"', 3194),
            ("31.945", 'decimal = "."\nround = "half even"', 3194),
            ("31.945", 'decimal = "."\nround = "half up"', 3195),
            ("31.949", 'decimal = "."\nround = "down"', 3194),
            ("999999999999999999.99", "", 10**20 - 1),
            ("0.12499999999999999999999999999999999", 'round = "half up"', 12),
        ],
    )
    def test_an_amount_is_read_as_it_is_said(self, value: object, table: str, hundredths: int) -> None:
        assert read({"amount": value}, amount=f'from = "amount"\n{table}').amount == hundredths

    @pytest.mark.parametrize(
        ("value", "table", "said"),
        [
            (
                "150.000",
                "",
                'say decimal = "." if it is 150.000 as a number, thousands = "." if it is 150000',
            ),
            ("1.234,50", "", 'probably decimal = ",", or between thousands, with thousands'),
            ("12.345", 'decimal = "."', "say round ="),
            ("-1", "", 'say sign = "absolute", "skip negative", or "skip positive"'),
            ("1e400", "", "10^18 or more"),
            (Decimal("1E+999999"), "", "10^18 or more"),
            (Decimal("sNaN"), "", "no number"),
            (float("inf"), "", "no number"),
            ("", "", "missing"),
            (None, "", "missing"),
            (True, "", "True is no amount"),
            ({"a": 1}, "", "an object"),
            ("12,30", 'decimal = "."', "not a number with"),
            ("1.5e3", 'decimal = ","', "not a number with"),
            ("12.5", "minor_units = 4", "more than 2 decimals"),
            ("1_0", "", "no number"),
        ],
    )
    def test_what_is_unclear_or_no_amount_is_refused_with_a_way_out(
        self, value: object, table: str, said: str
    ) -> None:
        assert said in refused({"amount": value}, amount=f'from = "amount"\n{table}')

    @pytest.mark.parametrize(
        ("currency", "hundredths"), [("JPY", 123_000), ("KWD", 123), ("EUR", 1230), ("CLP", 1230)]
    )
    def test_minor_units_are_those_of_the_currency(self, currency: str, hundredths: int) -> None:
        table = 'from = "amount"\nminor_units = true\nexponents = {CLP = 2}'
        found = read({"amount": 1230, "ccy": currency.lower()}, amount=table, currency='from = "ccy"')
        assert (found.amount, found.currency) == (hundredths, currency)

    def test_a_sign_may_leave_a_record_out(self) -> None:
        for sign, amount in [("skip negative", "-1"), ("skip positive", "1"), ("skip positive", "0")]:
            one = mapper(amount=f'from = "amount"\nsign = "{sign}"')
            assert one.read({**RECORD, "amount": amount}, NOW_MS) is None

    def test_of_several_the_first_that_is_there_counts(self) -> None:
        assert read({"debit": "", "credit": "5"}, amount='from = ["debit", "credit"]').amount == 500

    @given(
        st.decimals(min_value=-(10**19), max_value=10**19, places=18),
        st.sampled_from(["half even", "half up", "down"]),
    )
    def test_rounding_is_that_of_decimals(self, value: Decimal, way: str) -> None:
        table = f'from = "amount"\nround = "{way}"\nsign = "absolute"\ndecimal = "."'
        found = tried({**RECORD, "amount": str(value)}, mapper(amount=table))
        if isinstance(found, Unmapped):
            assert (found.reason, abs(value) > 10**18 - 1) == ("amount", True)
        else:
            modes = {"half even": "ROUND_HALF_EVEN", "half up": "ROUND_HALF_UP", "down": "ROUND_DOWN"}
            assert transaction(found).amount == int((abs(value) * 100).quantize(Decimal(1), modes[way]))


class TestDates:
    @pytest.mark.parametrize(
        ("value", "table", "expected"),
        [
            ("2018-04-01T00:00:31.5+05:30", "", "2018-03-31T18:30:31.500000"),
            ("2018-04-01 10:00:00+00", "", "2018-04-01T10:00:00"),
            ("2018-04-01t10:00z", "", "2018-04-01T10:00:00"),
            ("2018-04-01 10:00:00", 'zone = "+05:30"', "2018-04-01T04:30:00"),
            ("2018-07-01 10:00:00", 'zone = "Europe/Rome"', "2018-07-01T08:00:00"),
            ("01/04/2018 10:00", 'format = "%d/%m/%Y %H:%M"\nzone = "UTC"', "2018-04-01T10:00:00"),
            ("4/1/18 1:05:06 PM", 'format = "%m/%d/%y %I:%M:%S %p"\nzone = "UTC"', "2018-04-01T13:05:06"),
            ("1 Apr 2018 12:00 am", 'format = "%d %b %Y %I:%M %p"\nzone = "UTC"', "2018-04-01T00:00:00"),
            ("2018-04-01", 'format = ["%Y-%m-%d %T", "%F"]\nzone = "UTC"', "2018-04-01T00:00:00"),
            ("Sun, 01 April 2018 02:00:00 +0200", 'format = "%a, %d %B %Y %T %z"', "2018-04-01T00:00:00"),
            (date(2018, 4, 1), 'format = "%F"\nzone = "UTC"', "2018-04-01T00:00:00"),
            (datetime(2018, 4, 1, 10), 'zone = "Asia/Kolkata"', "2018-04-01T04:30:00"),  # noqa: DTZ001 - a clock's
            (datetime(2018, 4, 1, 10, tzinfo=timezone(timedelta(hours=2))), "", "2018-04-01T08:00:00"),
            (1522540831, 'epoch = "s"', "2018-04-01T00:00:31"),
            (Decimal("1522540831.25"), 'epoch = "s"', "2018-04-01T00:00:31.250000"),
            (1522540831.25, 'epoch = "s"', "2018-04-01T00:00:31.250000"),
            ("1522540831123", 'epoch = "ms"', "2018-04-01T00:00:31.123000"),
            (1522540831123456789, 'epoch = "ns"', "2018-04-01T00:00:31.123456"),
            ("1e+05", 'unit = "second"\nsince = 2013-09-01\nzone = "UTC"', "2013-09-02T03:46:40"),
            (-1, 'epoch = "s"', "1969-12-31T23:59:59"),
            (25, 'unit = "hour"\nsince = 2017-11-30\nzone = "UTC"', "2017-12-01T01:00:00"),
            ("1.5", 'unit = "day"\nsince = 2017-11-30T00:00:00+01:00', "2017-12-01T11:00:00"),
        ],
    )
    def test_a_date_is_read_as_it_is_said(self, value: object, table: str, expected: str) -> None:
        found = read({"date": value}, txn_date=f'from = "date"\n{table}').txn_date
        assert found.replace(tzinfo=None).isoformat() == expected

    def test_a_date_may_be_in_several_columns(self) -> None:
        table = 'from = ["y", "m", "d", "t"]\nformat = "%Y %m %d %H:%M"\nzone = "UTC"'
        found = read({"y": 2018, "m": "4", "d": "1", "t": "06:21"}, txn_date=table).txn_date
        assert found == datetime(2018, 4, 1, 6, 21, tzinfo=UTC)

    def test_a_sheet_may_have_the_time_of_day_in_a_cell_of_its_own(self) -> None:
        table = 'from = ["d", "t"]\nformat = "%Y-%m-%d %H:%M:%S"\nzone = "UTC"'
        found = read({"d": date(2018, 4, 1), "t": time(6, 21)}, txn_date=table).txn_date
        assert found == datetime(2018, 4, 1, 6, 21, tzinfo=UTC)

    def test_a_record_may_say_its_zone(self) -> None:
        table = 'from = "date"\nzone_from = "tz"\nzones = {PDT = "-07:00"}'
        for zone, hour in [("PDT", 17), ("Europe/Rome", 8), ("+02:00", 8)]:
            found = read({"date": "2018-07-01 10:00:00", "tz": zone}, txn_date=table).txn_date
            assert found == datetime(2018, 7, 1, hour, tzinfo=UTC)
        for zone, said in [("XYZ", "no zone"), ("", "no offset from UTC"), ("../etc/passwd", "no zone")]:
            assert said in refused({"date": "2018-07-01 10:00:00", "tz": zone}, txn_date=table)

    @pytest.mark.parametrize(
        ("value", "table", "said"),
        [
            ("2018-04-01T10:00:00", "", 'no offset from UTC: say zone = "UTC"'),
            ("2018-04-01", "", 'say format = "%Y-%m-%d"'),
            ("04/01/2018", "", 'say format = "%d/%m/%Y %H:%M"'),
            ("31/02/2018", 'format = "%d/%m/%Y"\nzone = "UTC"', "day is out of range"),
            ("2018-04-01", 'format = "%d/%m/%Y"\nzone = "UTC"', "is not of the format %d/%m/%Y"),
            ("1/1/2018 13:00 PM", 'format = "%d/%m/%Y %I:%M %p"\nzone = "UTC"', "no hour 13"),
            ("1522540831123", 'epoch = "s"', "is it in ms, us or ns?"),
            ("soon", 'epoch = "s"', "no number"),
            ("", 'epoch = "s"', "missing"),
            (None, "", "missing"),
            ("0001-01-01T00:00:00+23:00", "", "not in the years 1 to 9999"),
            ("2216-01-01T00:00:00Z", "", "too far ahead"),
        ],
    )
    def test_what_is_unclear_or_no_date_is_refused_with_a_way_out(
        self, value: object, table: str, said: str
    ) -> None:
        assert said in refused({"date": value}, txn_date=f'from = "date"\n{table}')

    @pytest.mark.parametrize(
        ("clock", "earlier", "later"),
        [("2018-10-28 02:30:00", "00:30", "01:30"), ("2018-03-25 02:30:00", "00:30", "01:30")],
    )
    def test_where_clocks_are_changed_it_has_to_be_said_which_time_is_meant(
        self, clock: str, earlier: str, later: str
    ) -> None:
        table = 'from = "date"\nzone = "Europe/Rome"'
        complaint = refused({"date": clock}, txn_date=table)
        assert f'"earlier" ({earlier} UTC) or "later" ({later} UTC)' in complaint
        for way, expected in [("earlier", earlier), ("later", later)]:
            found = read({"date": clock}, txn_date=f'{table}\nclock_change = "{way}"').txn_date
            assert f"{found:%H:%M}" == expected

    @given(
        st.datetimes(datetime(1950, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - a clock's
        st.sampled_from(["Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    )
    def test_a_time_of_a_clock_is_the_one_moment_when_it_showed_it(self, clock: datetime, zone: str) -> None:
        tz = ZoneInfo(zone)
        moments = {clock.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1)}
        shown = {moment for moment in moments if moment.astimezone(tz).replace(tzinfo=None, fold=0) == clock}
        text = clock.isoformat(sep=" ", timespec="microseconds")
        found = tried({**RECORD, "date": text}, mapper(txn_date=f'from = "date"\nzone = "{zone}"'))
        if isinstance(found, Unmapped):
            assert (found.reason, len(shown) == 1) == ("txn_date", False)
        else:
            assert {transaction(found).txn_date} == shown

    @given(st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)))  # noqa: DTZ001
    @pytest.mark.parametrize("form", ["%d/%m/%y %H:%M:%S.%f", "%B %d, %Y %I:%M:%S %p", "%Y%m%dT%H%M"])
    def test_formats_are_those_of_strptime(self, form: str, moment: datetime) -> None:
        text = moment.strftime(form)
        assert compiled(form)(text) == datetime.strptime(text, form)  # noqa: DTZ007


class TestTexts:
    @pytest.mark.parametrize("name", ["status", "currency"])
    def test_what_every_transaction_has_is_not_left_empty(self, name: str) -> None:
        assert refused({"x": ""}, **{name: 'from = "x"'}) == (
            f'{name}: missing: say default = "…" for records without one'
        )

    def test_words_are_exchanged(self) -> None:
        table = 'from = "state"\nvalues = {"C" = "settled", "" = "new"}'
        assert [read({"state": word}, status=table).status for word in ("C", "", None)] == [
            "settled",
            "new",
            "new",
        ]
        assert "'X' is none of values" in refused({"state": "X"}, status=table)
        for otherwise, status in [("declined", "declined"), ("*", "X")]:
            assert read({"state": "X"}, status=f'{table}\notherwise = "{otherwise}"').status == status

    def test_a_default_stands_in_for_nothing(self) -> None:
        assert read({"state": "n/a"}, status='from = "state"\ndefault = "settled"').status == "settled"

    def test_a_long_text_is_refused_or_cut(self) -> None:
        assert refused({"m": "x" * 65}, merchant_id='from = "m"') == "merchant_id: 65 characters, at most 64"
        assert read({"m": "x" * 65}, merchant_id='from = "m"\ncut = true').merchant_id == "x" * 64

    def test_a_condition_says_whether_there_is_one(self) -> None:
        table = 'from = "to"\nwhen = {from = "to", starts = "M"}'
        assert [read({"to": to}, merchant_id=table).merchant_id for to in ("M1", "C1")] == ["M1", None]

    def test_quotes_around_cells_are_left_out(self) -> None:
        assert read({"m": "'M1'"}, merchant_id='from = "m"\nremove = "\'"').merchant_id == "M1"


class TestConditions:
    @pytest.mark.parametrize(
        ("test", "taken"),
        [
            ('is = "a"', "a"),
            ('in = ["a", 1]', "a1"),
            ('not = "a"', "b1-"),
            ('not_in = ["a", "b"]', "1-"),
            ("is = 1", "1"),
            ('starts = "b"', "b"),
            ("present = true", "ab1"),
            ("present = false", "-"),
        ],
    )
    def test_records_are_left_out(self, test: str, taken: str) -> None:
        one = mapper(f'[[only]]\nfrom = "kind"\n{test}')
        kinds = {"a": "a", "b": "b", "1": 1, "-": None}
        found = [key for key, kind in kinds.items() if one.read({**RECORD, "kind": kind}, NOW_MS)]
        assert "".join(found) == taken

    def test_all_have_to_hold(self) -> None:
        one = mapper('[[only]]\nfrom = "a"\nis = 1\n[[only]]\nfrom = "b"\nis = true')
        pairs = [(1, True), (1, False), (2, True)]
        found = [one.read({**RECORD, "a": a, "b": b}, NOW_MS) is not None for a, b in pairs]
        assert found == [True, False, False]


class TestMetaData:
    def test_values_are_kept_exactly_and_by_their_names(self) -> None:
        record = {"type": "CASH_OUT", "big": Decimal("12345678901234567.89"), "empty": "", "a": {"b": [1]}}
        found = read(record, meta_data='keep = ["type", "big", "empty", "a.b"]').meta_data
        assert found == {"type": "CASH_OUT", "big": Decimal("12345678901234567.89"), "a.b": [1]}

    def test_the_rest_is_what_no_field_is_read_from(self) -> None:
        found = read({"x": "1", "y": "2", "z": None}, meta_data='keep = "rest"\ndrop = ["y"]').meta_data
        assert found == {"x": "1"}

    def test_an_object_is_taken_as_it_is(self) -> None:
        for value in ({"a": 1}, '{"a": 1}'):
            found = read({"more": value, "b": 2}, meta_data='from = "more"\nkeep = ["b"]').meta_data
            assert found == {"a": 1, "b": 2}
        assert refused({"more": [1]}, meta_data='from = "more"') == "meta_data: a list, not an object"


def test_values_are_found_in_nested_records_and_under_names_with_points() -> None:
    record = {"payload": {"amount": {"value": "5"}}, "net.fee": "1", "items": [{"sku": "s"}]}
    tables = {
        "amount": 'from = "payload.amount.value"',
        "merchant_id": 'from = "items.0.sku"',
        "channel": "from = '\"net.fee\"'",
    }
    found = read(record, **tables)
    assert (found.amount, found.merchant_id, found.channel) == (500, "s", "1")
    assert refused({"payload": "x"}, **tables) == "amount: missing"


class TestFaults:
    def test_all_faults_are_said_at_their_places(self) -> None:
        text = toml_of(
            amount='from = "a"\ndecimal = ";"', txn_date='from = "d"\nformat = "%d/%m/%Y %q"', more="x = 1"
        )
        lines = wrong(text).split("\n")
        assert lines[:3] == [
            'm.toml:11:1: the mark before the decimals is "." or ","',
            'decimal = ";"',
            "^",
        ]
        assert [line.split(": ")[0] for line in lines[::3]] == [
            f"m.toml:{at}" for at in ("11:1", "14:1", "14:1", "19:2")
        ]

    @pytest.mark.parametrize(
        ("tables", "said"),
        [
            ({"id": ""}, "[id] is missing"),
            ({"status": ""}, "[status] is missing"),
            ({"id": 'from = "id"\nread = "uuid6"'}, "value 'uuid6'; there are uuid, uuid5, hash\nread ="),
            ({"id": 'from = "id"\nreed = "uuid"'}, "`reed`; there are from, value, read, space"),
            ({"merchant_id": 'form = "id"'}, "`form`; there are from, value, values"),
            ({"id": 'from = "a..b"'}, "is no name such as"),
            ({"id": 'from = "?"'}, "has to be decided"),
            ({"id": 'from = "*"'}, 'read = "hash" alone'),
            ({"id": 'value = "x"'}, 'say read = "uuid5"'),
            ({"amount": 'from = "a"\ndecimal = ","\nthousands = ","'}, "the same mark"),
            ({"amount": 'from = "a"\nexponents = {CLP = 2}'}, "say minor_units = true"),
            ({"txn_date": 'from = "d"\nformat = "%d/%m/%Y"'}, "%d/%m/%Y has no offset from UTC: say zone"),
            ({"txn_date": 'from = "d"\nformat = "%d/%m"\nzone = "UTC"'}, "has no year: %Y or %y"),
            ({"txn_date": 'from = "d"\nformat = "%F %I"\nzone = "UTC"'}, "%I and %p"),
            ({"txn_date": 'from = "d"\nformat = "%F %d"\nzone = "UTC"'}, "%d more than once"),
            ({"txn_date": 'from = "d"\nzone = "Mars"'}, "no zone"),
            ({"txn_date": 'from = "d"\nepoch = "s"\nformat = "%F"'}, "exclude each other"),
            ({"txn_date": 'from = "d"\nunit = "day"'}, "say where steps begin"),
            ({"txn_date": 'from = "d"\nunit = "day"\nsince = 2018-01-01'}, "no offset from UTC"),
            ({"txn_date": 'from = "d"\nunit = "day"\nsince = "soon"\nzone = "UTC"'}, "no date such as"),
            (
                {"txn_date": 'from = "d"\nunit = "day"\nsince = 0001-01-01\nzone = "Asia/Tokyo"'},
                "not in the years 1 to 9999 in UTC",
            ),
            ({"source": "delimiter = '\"'"}, "no columns have this between them"),
            ({"txn_date": 'from = ["d", "t"]'}, "joined by a space: say format"),
            ({"currency": 'value = "EURO"'}, "three letters"),
            ({"currency": 'from = "c"\nvalues = {"€" = "Euro"}'}, "three letters"),
            ({"country": 'value = "ITA"'}, "two letters"),
            ({"status": f'value = "{"x" * 33}"'}, "at most 32 characters"),
            ({"status": 'value = "x"\nfrom = "y"'}, "either from"),
            ({"status": 'value = "x"\ncut = true'}, "it changes what comes from"),
            ({"txn_date": 'from = "d"\nzones = {CET = "+01:00"}'}, "zone_from = "),
            ({"meta_data": 'drop = ["x"]'}, 'keep = "rest" alone'),
            ({"source": 'encoding = "klingon"'}, "is no encoding"),
        ],
    )
    def test_what_cannot_be_used_is_refused_before_any_record_is_read(
        self, tables: dict[str, str], said: str
    ) -> None:
        assert said in wrong(toml_of(**tables))

    @pytest.mark.parametrize("tests", ["", 'is = "a"\nin = ["a"]'])
    def test_a_condition_has_one_test(self, tests: str) -> None:
        assert "exactly one of" in wrong(f'{toml_of()}\n[[only]]\nfrom = "x"\n{tests}')

    @pytest.mark.parametrize(
        ("text", "place"), [("[id\nx=1", "m.toml:1:4"), ("a=1\nb=", "m.toml:2:3"), ('x="', "m.toml:1:4")]
    )
    def test_what_is_not_toml_is_said_at_its_place(self, text: str, place: str) -> None:
        assert wrong(text).startswith(f"{place}: ")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.decimals()
    | st.floats()
    | st.text()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.uuids()
    | st.from_regex(r"[-$(]?[0-9]{1,6}[.,]?[0-9]{0,3}[-)]?", fullmatch=True)
    | st.from_regex(r"20[0-9]{2}-0[0-9]-[0-3][0-9][T ]0[0-9]:00:0[0-9](Z|\+01:00)?", fullmatch=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
LENIENT = mapper(
    id='from = "*"\nread = "hash"',
    user_id='from = ["user", "id"]\nread = "uuid5"',
    amount='from = ["amount", "id"]\nround = "half up"\nsign = "skip negative"\nminor_units = true',
    txn_date='from = "date"\nzone = "Europe/Rome"',
    currency='from = "ccy"\ndefault = "JPY"',
    status='from = "state"\ndefault = "new"\ncut = true',
    merchant_id='from = "m.x"\ncut = true\nwhen = {from = "m.y", present = true}',
    country='from = "land"\nvalues = {Italy = "IT"}\notherwise = "XX"',
    meta_data='from = "more"\nkeep = "rest"',
)
STRICT = mapper(id='from = "id"', meta_data='keep = "rest"')
NAMES = ["id", "user", "amount", "date", "ccy", "state", "m", "land", "more", "other"]


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.sampled_from([LENIENT, STRICT]), st.booleans())
def test_whatever_comes_in_it_is_mapped_or_refused_with_a_reason(
    record: dict[str, object],
    one: Mapper,
    likely: bool,  # noqa: FBT001 - drawn
) -> None:
    if likely:
        record = {**RECORD, **record}
    found = tried(record, one)
    (other,) = one.read_many([record], [NOW_MS])
    if isinstance(found, Unmapped):
        assert found.reason in {"mapping", *REASONS}
        assert found.detail
        assert str(other) == str(found)
    else:
        assert other == found
        if found is not None:
            transaction(found)


USUAL = mapper(
    id='from = "id"\nread = "uuid5"',
    user_id='from = "user"',
    currency='from = "ccy"\nvalues = {euro = "EUR"}\notherwise = "*"\ndefault = "GBP"',
    merchant_id='from = "m"',
    country='from = "land"',
    meta_data='keep = ["more", "other"]',
)
USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
LIKELY = {**RECORD, "user": USER, "ccy": "euro", "m": "Shop", "land": "it", "more": "x", "other": 17}


def outcomes(one: Mapper, records: Sequence[Mapping[str, object]], now_ms: Sequence[int]) -> list[str]:
    return [str(found) for found in one.read_many(records, now_ms)]


def alone(one: Mapper, records: Sequence[Mapping[str, object]], now_ms: Sequence[int]) -> list[str]:
    found = []
    for record, at in zip(records, now_ms, strict=True):
        try:
            found.append(str(one.read(record, at)))
        except Unmapped as unmapped:
            found.append(str(unmapped))
    return found


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2), st.sampled_from([NOW_MS, -1, 0])
        ),
        max_size=5,
    ),
    st.sampled_from([LENIENT, STRICT, USUAL]),
)
def test_together_records_are_mapped_as_each_alone(
    drawn: list[tuple[dict[str, object], int]], one: Mapper
) -> None:
    records = [{**LIKELY, **record} for record, _ in drawn]
    now_ms = [at for _, at in drawn]

    assert outcomes(one, records, now_ms) == alone(one, records, now_ms)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"amount": "1\n2"},
        {"amount": ""},
        {"amount": Decimal("1E+3")},
        {"amount": 10**18},
        {"amount": True},
        {"date": "2018-04-01T00:00:31Z\n2018-04-01T00:00:31Z"},
        {"date": "2018-02-30T00:00:31Z"},
        {"date": "2018-04-01T00:00:31+01:00"},
        {"date": "2999-04-01T00:00:31Z"},
        {"date": datetime(2018, 4, 1)},  # noqa: DTZ001 - a clock's
        {"date": datetime(2018, 4, 1, tzinfo=ZoneInfo("Europe/Rome"))},
        {"user": f"{USER}\n{USER}"},
        {"user": USER.upper()},
        {"user": ""},
        {"id": " NULL "},
        {"ccy": "E1R"},
        {"ccy": "EURO"},
        {"ccy": None},
        {"land": "I1"},
        {"land": ""},
        {"m": "m" * 65},
        {"m": "a\x07b"},
        {"more": "\0"},
        {"more": "\ud800"},
        {"more": r"\u0000"},
        {"more": "x" * 70_000},
        {"more": Decimal("1e400")},
        {"more": [[[1]]]},
        {"other": 10**309},
        {"other": "é"},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 1])
def test_an_unusual_record_changes_nothing_for_the_one_beside_it(
    changed: dict[str, object], place: int
) -> None:
    records: list[dict[str, object]] = [LIKELY]
    records.insert(place, {**LIKELY, **changed})

    found = outcomes(USUAL, records, [NOW_MS, NOW_MS])

    assert found == alone(USUAL, records, [NOW_MS, NOW_MS])
    assert found[1 - place].startswith("Mapped(")


def test_floats_of_a_source_are_read_by_their_shortest_text() -> None:
    assert read({"amount": 0.1 + 0.7}, amount='from = "amount"\nround = "half even"').amount == 80
