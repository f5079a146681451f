"""Files of labels as people have them: their delimiters, names of columns, dates and words."""

from datetime import UTC, datetime

import pytest

from infra.produce.files import InputError
from infra.produce.labels import LabelRow, LabelTable
from infra.produce.rows import RejectedRow

NINE = datetime(2026, 4, 1, 9, tzinfo=UTC)


def read(*lines: str, assume_utc: bool = False) -> list[LabelRow | RejectedRow]:
    return [*LabelTable([f"{line}\n".encode() for line in lines], assume_utc=assume_utc).rows()]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id,user_id,txn_date,label", "A,U,2026-04-01T09:00:00Z,fraud"),
        ("Transaction ID;Customer ID;Date;isFraud", "a;u;2026-04-01 11:00:00+02;1"),
        ("\ufefflabel\ttxn_date\tuser_id\tid\tmore", 'TRUE\t2026-04-01T09:00:00+00:00\t"u"\ta\t'),
    ],
)
def test_a_table_is_read_as_it_comes(header: str, row: str) -> None:
    assert read(header, "", row) == [LabelRow(3, "a", "u", NINE, label=True)]


def test_what_it_has_no_column_for_is_left_open() -> None:
    assert read("id,label", "a,", "b,no") == [
        LabelRow(2, "a", "", None, label=None),
        LabelRow(3, "b", "", None, label=False),
    ]


def test_a_line_that_cannot_be_read_is_named_and_the_rest_is_read() -> None:
    lines = (
        "id,txn_date,label",
        "a,2026-04-01T09:00:00,1",
        "b,soon,1",
        "c,1",
        "d,2026-04-01T09:00:00Z,?",
        "",
    )
    good = "e,2026-04-01T09:00:00Z,0"

    found = read(*lines, good)

    assert [(one.line, one.reason) for one in found if isinstance(one, RejectedRow)] == [
        *((2, "txn_date"), (3, "txn_date"), (4, "csv"), (5, "label")),
    ]
    assert found[-1] == LabelRow(7, "e", "", NINE, label=False)
    assert read(*lines[:2], assume_utc=True) == [LabelRow(2, "a", "", NINE, label=True)]


def test_a_date_before_year_1_in_utc_is_none() -> None:
    [found] = read("id,txn_date,label", "a,0001-01-01T00:00:00+14:00,1")

    assert (found.line, isinstance(found, RejectedRow)) == (2, True)


@pytest.mark.parametrize("header", ["user_id,label", "id,user_id", ""])
def test_one_without_ids_or_labels_is_refused(header: str) -> None:
    with pytest.raises(InputError, match="no column"):
        read(header)
