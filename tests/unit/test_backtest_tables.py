"""Files as history: many rows at a time give what produce and the worker's decoder give of each alone."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.produce.files import InputError, open_input
from infra.produce.labels import LabelWords
from infra.produce.options import Reading
from infra.produce.rows import RejectedRow, RowReader
from schemas.transaction import Decoder, Transaction
from stream_app.commands.backtest.history import FileHistory
from stream_app.commands.backtest.rows import Piece
from tests.support.messages import DATE, ID, USER

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = ["id", "user_id", "amount", "currency", "txn_date", "status", "note", "label", "label_scenario"]
ORDINARY = (ID, USER, "57.16", "EUR", DATE, "paid", "", "1", "3")
CELLS = [
    [ID, ID.upper(), "", "f06a72cf", ID[:-1] + "g", ID.replace("-", ":")],
    [USER, USER.upper(), "nan"],
    [
        "57.16",
        "57",
        "0.1",
        "1e2",
        "-1",
        "-0.00",
        "00.10",
        "99999999999999999.99",
        "NaN",
        " 5.00 ",
        "9" * 19,
        "5.00\n6.00",
    ],
    ["EUR", "eur", "EU", "nan", "€€€", "", "ÄÖÜ"],
    [
        *(DATE, DATE.replace("T", " "), "2018-04-01T05:30:31+05:30", "2018-04-01T00:00:31", "2018-04-01"),
        *(
            "2030-01-01T00:00:00Z",
            "2018-04-01 00:00:31+00",
            "0001-01-01T00:00:00+12:00",
            f"{DATE[:-1]}.1234567Z",
        ),
    ],
    ["paid", "", " paid", "null", "x" * 33, "ä", "\x07", '"yes"', "a,b", "a\\b", "a\nb", "a\rb", "\x00"],
    ["", "free text", "€", "\ud800"],
    ["1", "0", "", "fraud", "Legitimate", "true", "maybe", " 1 "],
    ["", "1", "2"],
]
CHANGED = [(*ORDINARY[:at], cell, *ORDINARY[at + 1 :]) for at, cells in enumerate(CELLS) for cell in cells]
ROWS = st.lists(st.one_of(st.just(ORDINARY), st.sampled_from([*CHANGED, ORDINARY[:-1], ()])), max_size=12)


def table(rows: Sequence[Sequence[str]], quoting: int = csv.QUOTE_MINIMAL, end: str = "\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator=end).writerows([HEADER, *rows])  # type: ignore[arg-type]
    return text.getvalue().encode("utf-8", "surrogatepass")


def read(data: bytes, folder: Path, options: Reading | None = None) -> Piece:
    """All rows of a file, in blocks of a few hundred bytes."""
    path = folder / "history"
    path.write_bytes(data)
    history = FileHistory(options or Reading(), NOW, 65_536, timedelta(hours=24), block_bytes=400)
    together = Piece()
    with open_input(path) as opened:
        for rows in history.read(opened)[1]:
            together.add(rows)
    return together


def each_alone(data: bytes, reader: RowReader | None = None) -> tuple[list[Transaction], list[RejectedRow]]:
    """What produce reads, and the worker's decoder makes of it."""
    decoder, taken, refused = Decoder(), list[Transaction](), list[RejectedRow]()
    now = int(NOW.timestamp() * 1000)
    reader = reader or RowReader(now_ms=lambda: now)
    for item in reader.read(io.BytesIO(data)):
        if isinstance(item, RejectedRow):
            refused.append(item)
        else:
            taken.append(decoder.decode(item.value, item.key, now))
    return taken, refused


def outcome(data: bytes, folder: Path) -> object:
    try:
        rows = read(data, folder)
    except InputError as error:
        return str(error)
    return rows.transactions, [RejectedRow(one.line, one.reason, one.detail) for _, one in rows.refused]


def expected(data: bytes) -> object:
    try:
        return each_alone(data)
    except InputError as error:
        return str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n"]))
def test_a_table_is_read_as_each_of_its_rows_alone(
    folder: Path, rows: list[tuple[str, ...]], quoting: int, end: str
) -> None:
    data = table(rows, quoting, end)

    assert outcome(data, folder) == expected(data)


@given(ROWS, st.sampled_from(['"57.16"', "57.160"]))
def test_json_lines_are_read_as_each_of_them_alone(
    folder: Path, rows: list[tuple[str, ...]], amount: str
) -> None:
    lines = [json.dumps(dict(zip(HEADER, row, strict=False))) for row in rows]
    data = "".join(f"{line}\n" for line in lines).replace('"57.16"', amount).encode()

    assert outcome(data, folder) == expected(data)


def test_rows_have_their_labels_and_refused_ones_their_places(folder: Path) -> None:
    rows = [
        (*ORDINARY[:7], label, scenario) for label, scenario in [("1", "3"), ("legitimate", ""), ("", "2")]
    ]
    bad = (*ORDINARY[:2], "-5", *ORDINARY[3:])

    found = read(table([rows[0], bad, rows[1], ORDINARY[:3], rows[2]]), folder)

    assert (found.labels, found.scenarios) == ([True, False, None], ["3", "", "2"])
    places = [(place, one.line, one.id, one.reason) for place, one in found.refused]
    assert places == [(1, 3, ID, "amount"), (2, 5, ID, "csv")]


def test_marks_and_dates_are_read_as_produce_reads_them(folder: Path) -> None:
    row = (ID, USER, "1.234,50", "EUR", "2018-04-01 00:00:31", "paid", "", "1", "")
    options = Reading(decimal=",", assume_utc=True)

    [transaction] = read(table([row]), folder, options).transactions

    assert (transaction.amount, transaction.txn_date.isoformat()) == (123_450, "2018-04-01T00:00:31+00:00")


def test_columns_are_found_by_their_names_and_named_where_they_are_not(folder: Path) -> None:
    header = "TransactionID;Customer ID;amt;Booked;Currency;TX_FRAUD;isFlagged\n"
    row = f"{ID};{USER};57.16;{DATE};EUR;0;1"
    options = Reading({"txn_date": "Booked"}, status="paid")

    found = read(f"{header}{row}\n".encode(), folder, options)
    chosen = read(
        f"{header}{row}\n".encode(),
        folder,
        Reading({"txn_date": "Booked", "label": "isFlagged"}, status="paid"),
    )

    assert [one.status for one in found.transactions] == ["paid"]
    assert (found.labels, chosen.labels) == ([False], [True])
    with pytest.raises(InputError, match="no column fraud_flag; there are: id, user_id"):
        read(table([ORDINARY]), folder, Reading({"label": "fraud_flag"}))
    with pytest.raises(InputError, match="no column for txn_date, status"):
        read(f"{header}{row}\n".encode(), folder)


def test_words_that_are_no_label_are_kept_to_be_named() -> None:
    words = LabelWords()

    assert [words[text] for text in ["FRAUD", "0.0", "maybe", "?", "maybe"]] == [
        True,
        False,
        None,
        None,
        None,
    ]
    assert words.unreadable == ["maybe", "?"]
