"""Rows as records: what is sent is what the decoder takes."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.produce.columns import Columns
from infra.produce.errors import InputError
from infra.produce.files import MAX_LINE
from infra.produce.rows import Item, ProducerRecord, RejectedRow, RowReader
from infra.produce.unchanged import read_unchanged
from schemas.mapping.marks import AmountMarks
from schemas.transaction import Decoder, Transaction

ID = "f06a72cf-e094-50a7-b663-8929e421dd6f"
USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
NOW_MS = 1522540831000
HEADER = "id,user_id,amount,currency,txn_date,status"
ROW = f"{ID},{USER},57.16,EUR,2018-04-01T00:00:31Z,paid"
FIELDS: dict[str, Any] = dict(zip(HEADER.split(","), ROW.split(","), strict=True))


def reader(
    columns: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    *,
    assume_utc: bool = False,
    decoder: Decoder | None = None,
    marks: AmountMarks | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> RowReader:
    return RowReader(
        columns=Columns(columns),
        defaults=defaults or {},
        assume_utc=assume_utc,
        decoder=decoder or Decoder(),
        now_ms=lambda: NOW_MS,
        marks=marks or AmountMarks(),
        say=say,
    )


def lines(*texts: str | bytes) -> list[bytes]:
    return [(text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts]


def read(given: Iterable[bytes], by: RowReader | None = None) -> list[Item]:
    return list((by or reader()).read(given))


def decoded(item: Item) -> Transaction:
    assert isinstance(item, ProducerRecord)
    return Decoder().decode(item.value, item.key, NOW_MS)


def rejected(items: Iterable[Item]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in items if isinstance(item, RejectedRow)]


def test_the_fields_own_names_come_before_all_synonyms() -> None:
    names = ("timestamp", "transaction_id", "id", "user_id", "customer_id", "txn_date", "value", "amount")
    assert Columns().pick(names) == {
        "id": "id",
        "user_id": "user_id",
        "amount": "amount",
        "txn_date": "txn_date",
    }


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("transaction_id", "id"),
        ("TransactionID", "id"),
        ("Transaction Id", "id"),
        ("customer_id", "user_id"),
        ("CUSTOMER_ID", "user_id"),
        ("userId", "user_id"),
        ("TX_AMOUNT", "amount"),
        ("timestamp", "txn_date"),
        ("TX_DATETIME", "txn_date"),
        ("created-at", "txn_date"),
        ("Currency", "currency"),
        ("metadata", "meta_data"),
        ("Status", "status"),
        ("TERMINAL_ID", "merchant_id"),
        ("merchant", "merchant_id"),
        ("cardToken", "card_id"),
        ("Country Code", "country"),
        ("Channel", "channel"),
    ],
)
def test_common_synonyms_are_found_whatever_their_case_and_punctuation(name: str, field: str) -> None:
    assert Columns().pick(("other", name)) == {field: name}


def test_other_columns_are_left_out() -> None:
    assert Columns().pick(("label", "label_scenario", "ids", "")) == {}
    assert Columns().pick(("card_number", "cc_num", "pan", "merchant_name", "category")) == {}


def test_a_chosen_column_comes_before_the_fields_own_name() -> None:
    assert Columns({"amount": "gross"}).pick(("amount", "gross")) == {"amount": "gross"}


def test_a_chosen_column_is_not_also_found_as_a_synonym_of_another_field() -> None:
    assert Columns({"id": "timestamp"}).pick(("timestamp",)) == {"id": "timestamp"}


def test_a_chosen_column_has_to_be_there() -> None:
    columns = Columns({"amount": "gross", "id": "key"})
    assert columns.absent(["amount", "key"]) == ["gross"]
    assert columns.pick(("amount", "key")) == {"id": "key"}


def test_a_csv_row_becomes_a_message_keyed_by_its_user() -> None:
    [item] = read(lines(HEADER, ROW))
    assert isinstance(item, ProducerRecord)
    assert item.key == USER.encode()
    assert json.loads(item.value) == FIELDS


def test_a_json_line_becomes_a_message_keyed_by_its_user() -> None:
    line = json.dumps({**FIELDS, "amount": 57.10, "meta_data": {"shop": 7}})
    [item] = read(lines(line))
    assert isinstance(item, ProducerRecord)
    assert item.key == USER.encode()
    assert json.loads(item.value) == json.loads(line)


def test_the_digits_of_a_number_in_json_are_kept() -> None:
    line = json.dumps(FIELDS).replace('"57.16"', "999999999999999999.99")
    assert decoded(read(lines(line))[0]).amount == 10**20 - 1


def test_columns_are_found_by_other_names_and_the_rest_is_left_out() -> None:
    names = ["TransactionID", "label", "CUSTOMER_ID", "amt", "Currency", "timestamp", "Status"]
    row = [ID, "1", USER, "57.16", "EUR", "2018-04-01T00:00:31Z", "paid"]
    from_csv = read(lines(",".join(names), ",".join(row)))
    from_json = read(lines(json.dumps(dict(zip(names, row, strict=True)))))
    for [item] in (from_csv, from_json):
        assert isinstance(item, ProducerRecord)
        assert json.loads(item.value) == FIELDS


def test_columns_can_be_chosen() -> None:
    by = reader({"amount": "Net", "txn_date": "Booked"})
    header = "id,user_id,amount,Net,currency,Booked,status"
    row = f"{ID},{USER},1.00,57.16,EUR,2018-04-01T00:00:31Z,paid"
    assert decoded(read(lines(header, row), by)[0]).amount == 5716
    line = json.dumps({**FIELDS, "amount": 1, "Net": "57.16", "Booked": FIELDS["txn_date"]})
    assert decoded(read(lines(line), by)[0]).amount == 5716


MORE = {"merchant_id": "m-1", "card_id": "42", "country": "IN", "channel": "web"}


def test_optional_columns_are_sent_where_they_hold_something() -> None:
    csv_lines = lines(f"{HEADER},merchant,card,country,channel", f"{ROW},m-1,42,IN,web", f"{ROW},,NULL,nan,")
    [full, plain] = [json.loads(item.value) for item in read(csv_lines) if isinstance(item, ProducerRecord)]
    assert (full, plain) == ({**FIELDS, **MORE}, FIELDS)

    numbers = {**FIELDS, **MORE, "card_id": 42}
    nothing = {**FIELDS, "merchant": None, "card": "", "country": "N/A"}
    items = read(lines(json.dumps(numbers), json.dumps(nothing)))
    [full, plain] = [json.loads(item.value) for item in items if isinstance(item, ProducerRecord)]
    nulls = dict.fromkeys(("merchant_id", "card_id", "country"))
    assert (full, plain) == ({**FIELDS, **MORE}, {**FIELDS, **nulls})


def test_a_column_that_is_no_country_says_how_to_leave_it_out() -> None:
    given = lines(f"{HEADER},country", f"{ROW},India")
    [item] = read(given)
    assert isinstance(item, RejectedRow)
    assert item.reason == "country"
    assert item.detail.endswith("; --map country= leaves it out")
    assert decoded(read(given, reader({"country": ""}))[0]).country is None


def test_a_column_that_was_chosen_but_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="no column Net; there are: id, user_id"):
        read(lines(HEADER, ROW), reader({"amount": "Net"}))


def test_a_csv_file_without_a_column_for_a_field_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(InputError, match="no column for amount, status; there are: id, user_id, x"):
        read(lines("id,user_id,x,currency,txn_date", "1,2,3,4,5"))


def test_what_comes_from_a_file_is_not_sent_to_the_terminal_as_it_is() -> None:
    with pytest.raises(InputError) as error:
        read(lines(b"id,\x1b[2J,\xff"))
    assert str(error.value).isprintable()


def test_defaults_fill_in_for_columns_and_cells_that_are_absent() -> None:
    by = reader(defaults={"currency": "INR", "status": "new"})
    header, row = "id,user_id,amount,txn_date,status", f"{ID},{USER},1,2018-04-01T00:00:31Z,"
    short = {name: value for name, value in FIELDS.items() if name not in {"currency", "status"}}
    for rows in (lines(header, row), lines(json.dumps({**short, "status": None})), lines(json.dumps(short))):
        txn = decoded(read(rows, by)[0])
        assert (txn.currency, txn.status) == ("INR", "new")


def test_defaults_leave_what_is_there() -> None:
    by = reader(defaults={"currency": "INR", "status": "new"})
    for rows in (lines(HEADER, ROW), lines(json.dumps(FIELDS))):
        txn = decoded(read(rows, by)[0])
        assert (txn.currency, txn.status) == ("EUR", "paid")


@pytest.mark.parametrize("date", ["2018-04-01T00:00:31", "2018-04-01 00:00:31", "2018-04-01T00:00:31.000"])
def test_dates_without_an_offset_are_utc_only_if_asked_for(date: str) -> None:
    for rows in (
        lines(HEADER, ROW.replace("2018-04-01T00:00:31Z", date)),
        lines(json.dumps({**FIELDS, "txn_date": date})),
    ):
        assert [reason for _, reason in rejected(read(rows))] == ["txn_date"]
        item = read(rows, reader(assume_utc=True))[0]
        assert decoded(item).txn_date.isoformat() == "2018-04-01T00:00:31+00:00"


def test_an_offset_that_is_there_is_kept_also_when_utc_is_assumed() -> None:
    row = ROW.replace("00:00:31Z", "05:30:31+05:30")
    item = read(lines(HEADER, row), reader(assume_utc=True))[0]
    assert decoded(item).txn_date.isoformat() == "2018-04-01T00:00:31+00:00"


def test_a_user_in_upper_case_is_keyed_in_lower_case() -> None:
    for rows in (
        lines(HEADER, ROW.replace(USER, USER.upper())),
        lines(json.dumps({**FIELDS, "user_id": USER.upper()})),
    ):
        [item] = read(rows)
        assert isinstance(item, ProducerRecord)
        assert item.key == USER.encode()
        assert decoded(item).user_id == USER


@pytest.mark.parametrize(
    "date", ["2024-05-01 10:00:00+00", "2024-05-01 12:30:00.5+02", "2024-05-01T10:00:00+00"]
)
def test_dates_as_postgres_writes_them_are_read(date: str) -> None:
    for rows in (
        lines(HEADER, ROW.replace("2018-04-01T00:00:31Z", date)),
        lines(json.dumps({**FIELDS, "txn_date": date})),
    ):
        [item] = read(rows, reader(decoder=Decoder(max_ahead=timedelta(days=10_000))))
        assert isinstance(item, ProducerRecord)
        assert item.date == datetime.fromisoformat(date)


@pytest.mark.parametrize("nothing", ["NULL", "null", "nan", "NaN", "None", "N/A", "<NA>", r"\N"])
def test_what_programs_write_for_nothing_is_empty(nothing: str) -> None:
    """A status "nan" was sent, in place of the default."""
    by = reader(defaults={"currency": "INR", "status": "new"})
    row = f"{ID},{USER},1,{nothing},2018-04-01T00:00:31Z,{nothing},{nothing}"
    given = {**FIELDS, "currency": nothing, "status": nothing, "meta_data": nothing}
    for rows in (lines(HEADER + ",meta_data", row), lines(json.dumps(given))):
        txn = decoded(read(rows, by)[0])
        assert (txn.currency, txn.status, txn.meta_data) == ("INR", "new", None)


def test_a_state_is_no_status_and_what_is_taken_and_left_out_is_said() -> None:
    said: list[str] = []
    by = reader(defaults={"status": "paid"}, say=said.append)
    names = ["trans_num", "user_id", "amt", "currency", "trans_date", "state", "\x1b[2Jcity"]
    row = [ID, USER, "57.16", "EUR", "2018-04-01T00:00:31Z", "NC", "Moravian Falls"]
    for rows in (
        lines(",".join(names), ",".join(row), ",".join(row)),
        lines(*[json.dumps(dict(zip(names, row, strict=True)))] * 2),
    ):
        assert {decoded(item).status for item in read(rows, by)} == {"paid"}
    expected = (
        "columns: id from trans_num, amount from amt, txn_date from trans_date; left out: state, ?[2Jcity"
    )
    assert said == [expected, expected]

    said.clear()
    read(lines(HEADER, ROW), by)
    read(lines(json.dumps(FIELDS)), by)
    assert said == []


def test_an_amount_that_can_be_read_in_two_ways_stops_the_file_with_its_line() -> None:
    """150.000 was sent as 150.00, and 1.234.567 left out."""
    for amount in ("150.000", "1.234.567"):
        bad = json.dumps({**FIELDS, "amount": amount})
        for rows in (lines(HEADER, ROW, ROW.replace("57.16", amount)), lines(json.dumps(FIELDS), bad)):
            line = 3 if rows[0].startswith(b"id") else 2
            with pytest.raises(InputError, match=f"^line {line}: the amount .*--thousands"):
                read(rows)
            with pytest.raises(InputError, match=f"^line {line}: the amount .*--thousands"):
                reader().check_amounts(rows)
            reader(marks=AmountMarks(thousands=".")).check_amounts(rows)
    # A number in JSON has a point before the decimals.
    [item] = read(lines(json.dumps(FIELDS).replace('"57.16"', "150.000")))
    assert decoded(item).amount == 15_000


def test_amounts_are_read_with_the_marks_that_are_named() -> None:
    by = reader(marks=AmountMarks(decimal=","))
    row = ROW.replace("57.16", '"1.234,50"')
    for rows in (
        lines(HEADER, row, ROW),
        lines(*(json.dumps({**FIELDS, "amount": amount}) for amount in ("1.234,50", "57.16"))),
    ):
        items = read(rows, by)
        assert decoded(items[0]).amount == 123_450
        assert [reason for _, reason in rejected(items)] == ["amount"]


def test_the_amounts_of_files_of_any_kind_can_be_looked_at() -> None:
    for rows in ([], lines(HEADER), lines("a,b", "1,2"), lines(HEADER, "1,2"), lines("{}"), lines("{", "x")):
        reader().check_amounts(rows)


def test_meta_data_in_csv_is_json() -> None:
    meta = '"{""shop"": 7, ""tags"": [""a""]}"'
    [with_meta, without] = read(lines(HEADER + ",meta_data", f"{ROW},{meta}", f"{ROW}, "))
    assert decoded(with_meta).meta_data == {"shop": 7, "tags": ["a"]}
    assert decoded(without).meta_data is None


@pytest.mark.parametrize("meta", ['{"a":1', "[1]", "word", '{},"amount":"1"', "{}}"])
def test_meta_data_in_csv_that_is_no_object_is_rejected_and_cannot_pose_as_other_fields(meta: str) -> None:
    cell = '"' + meta.replace('"', '""') + '"'
    assert rejected(read(lines(HEADER + ",meta_data", f"{ROW},{cell}"))) == [(2, "meta_data")]


def test_rows_that_the_decoder_refuses_are_rejected_with_its_reason_and_their_line() -> None:
    bad = [ROW.replace("57.16", "-1"), ROW.replace(ID, "x"), "", ROW.replace("EUR", "EURO")]
    items = read(lines(HEADER, ROW, *bad, ROW))
    assert rejected(items) == [(3, "amount"), (4, "id"), (6, "currency")]
    assert [type(item) for item in items] == [
        ProducerRecord,
        RejectedRow,
        RejectedRow,
        RejectedRow,
        ProducerRecord,
    ]

    good = json.dumps(FIELDS)
    worse: list[str | bytes] = [
        "{",
        "[1]",
        "",
        json.dumps({**FIELDS, "amount": -1}),
        '{"a":"\\ud800"}',
        "{}",
        b"\xff",
        good,
    ]
    items = read(lines(good, *worse))
    assert rejected(items) == [(2, "json"), (3, "json"), (5, "amount"), (6, "text"), (7, "id"), (8, "json")]


def test_the_limit_of_the_worker_holds_here_too() -> None:
    by = reader(decoder=Decoder(max_bytes=100))
    assert rejected(read(lines(HEADER, ROW), by)) == [(2, "size")]


def test_cells_in_quotes_may_hold_commas_and_line_ends_and_lines_are_still_counted() -> None:
    quoted = f'{ID},{USER},57.16,EUR,2018-04-01T00:00:31Z,"a,\n""b"""'
    items = read(io.BytesIO(f"{HEADER}\r\n{quoted}\r\n{ROW},?\r\n{ROW}\r\n".encode()))
    assert decoded(items[0]).status == 'a,\n"b"'
    assert rejected(items) == [(4, "csv")]
    assert decoded(items[2]).status == "paid"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_seen_in_the_header(delimiter: str) -> None:
    given = lines(HEADER.replace(",", delimiter), ROW.replace(",", delimiter))
    assert decoded(read(given)[0]).amount == 5716


def test_spaces_around_names_and_cells_do_not_count() -> None:
    given = lines(HEADER.replace(",", " , "), ROW.replace(",", " , "))
    assert decoded(read(given)[0]).status == "paid"


def test_rows_of_another_length_than_the_header_are_rejected() -> None:
    items = read(lines(HEADER, ROW.replace("57.16", "1,057.16"), ROW.removesuffix(",paid"), ROW))
    assert rejected(items) == [(2, "csv"), (3, "csv")]
    assert isinstance(items[-1], ProducerRecord)


def test_a_row_that_swallowed_others_says_so() -> None:
    [swallowed, good] = read(lines(HEADER, f'"{ROW}', ROW, f'{ROW}"', ROW))
    assert isinstance(good, ProducerRecord)
    assert isinstance(swallowed, RejectedRow)
    assert swallowed.detail.endswith("and it is of 3 lines: is a quote not closed?")


def test_a_quote_that_is_never_closed_costs_no_more_than_what_it_swallows() -> None:
    items = read(lines(HEADER, ROW.replace("paid", '"paid'), *[ROW] * 5000))
    assert rejected(items)[0] == (2, "csv")
    assert isinstance(items[0], RejectedRow)
    swallowed = re.search(r"of ([0-9,]+) lines: is a quote not closed\?", items[0].detail)
    assert swallowed is not None
    assert len(items) + int(swallowed[1].replace(",", "")) - 1 == 5001
    assert sum(isinstance(item, ProducerRecord) for item in items) > 2000


@pytest.mark.parametrize("begin", [b"\xef\xbb\xbf", b"\n \n", b"\xef\xbb\xbf\n"])
def test_a_byte_order_mark_and_blank_lines_before_the_first_do_not_matter(begin: bytes) -> None:
    blank = begin.count(b"\n")
    for first, second in ((HEADER, ROW.replace("paid", "x" * 33)), (json.dumps(FIELDS), "{")):
        items = read(io.BytesIO(begin + f"{first}\n{second}\n".encode()))
        assert [line for line, _ in rejected(items)] == [blank + 2]


def test_bytes_that_are_not_utf_8_reject_their_row_alone() -> None:
    items = read(lines(HEADER, ROW.encode().replace(b"paid", b"pa\xffid"), ROW))
    assert rejected(items) == [(2, "json")]
    assert isinstance(items[-1], ProducerRecord)


def test_an_empty_input_is_no_error() -> None:
    assert read([]) == []
    assert read(lines("", " ")) == []
    assert read(lines(HEADER)) == []


def test_lines_that_were_cut_are_rejected_in_json_and_an_error_in_csv() -> None:
    cut = b"x" * MAX_LINE
    assert rejected(read([*lines(json.dumps(FIELDS)), cut])) == [(2, "size")]
    with pytest.raises(InputError, match="neither CSV nor JSON"):
        read([*lines(HEADER), cut])


def test_unchanged_lines_are_sent_as_they_are() -> None:
    given = [
        b'{"user_id":"A", "x" :1}\r\n',
        b"\n",
        b"not json\n",
        b"\xff\x00\n",
        b'{"user_id":1}\n',
        b"[" * 5000,
    ]
    assert list(read_unchanged(given)) == [
        ProducerRecord(b"A", b'{"user_id":"A", "x" :1}'),
        ProducerRecord(None, b""),
        ProducerRecord(None, b"not json"),
        ProducerRecord(None, b"\xff\x00"),
        ProducerRecord(None, b'{"user_id":1}'),
        ProducerRecord(None, b"[" * 5000),
    ]


def test_unchanged_lines_that_no_broker_takes_are_rejected() -> None:
    assert list(map(type, read_unchanged([b"x" * MAX_LINE, b"a\n"]))) == [RejectedRow, ProducerRecord]


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(ROW.split(","))


@example([[*ROW.split(",")[:2], "0..", *ROW.split(",")[3:]]])
@given(st.lists(st.lists(CELLS, min_size=6, max_size=6), max_size=5))
def test_whatever_the_cells_are_what_is_sent_is_taken_by_the_decoder(rows: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([HEADER.split(","), *rows])
    with suppress(InputError):  # an amount that can be read in several ways
        for item in read(io.BytesIO(written.getvalue().encode())):
            if isinstance(item, ProducerRecord):
                decoded(item)


@example(b"\x1c")  # space for str, but not for bytes
@given(st.binary() | st.binary().map(lambda data: HEADER.encode() + b"\n" + data))
def test_whatever_the_bytes_are_rows_are_sent_or_rejected(data: bytes) -> None:
    try:
        for item in read(io.BytesIO(data)):
            if isinstance(item, ProducerRecord):
                decoded(item)
    except InputError:
        assert not data.startswith(HEADER.encode()) or b"." in data or b"," in data
