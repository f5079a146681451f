"""Amounts with marks: read as they are said to be, and never guessed."""

from contextlib import suppress

import pytest

from schemas.mapping.marks import AmountMarks, UnclearAmountError
from schemas.money import parse_amount


def hundredths(text: str, decimal: str | None, thousands: str | None) -> int:
    return parse_amount(AmountMarks(decimal, thousands).plain(text))


@pytest.mark.parametrize(
    "text", ["150.000", "1.234", "12.345", "999.000", "150,000", "12,345", "1.234,56", "1,234.56", "12,34"]
)
@pytest.mark.parametrize("sign", ["", "-"])
def test_without_named_marks_nothing_is_guessed(text: str, sign: str) -> None:
    with pytest.raises(UnclearAmountError, match=r"--decimal.*--thousands"):
        AmountMarks().plain(sign + text)


@pytest.mark.parametrize("text", ["1.234.567", "1 234", "1'234.56", "1\u202f234,56", "1,23,456.78", "1,5"])
def test_marks_that_only_large_amounts_have_are_no_reason_to_leave_these_out(text: str) -> None:
    with pytest.raises(UnclearAmountError, match="has marks"):
        AmountMarks().plain(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1.234,56", "probably --decimal ,"),
        ("1,234.56", "probably --decimal ."),
        ("1.234.567", "with --decimal"),
        ("1 234", "with --decimal"),
    ],
)
def test_where_one_mark_is_likely_it_is_said(text: str, said: str) -> None:
    with pytest.raises(UnclearAmountError, match=said):
        AmountMarks().plain(text)


def test_both_readings_are_said() -> None:
    with pytest.raises(UnclearAmountError) as error:
        AmountMarks().plain("150.000")
    assert "--decimal . if it is 150.000 as a number, --thousands . if it is 150000" in str(error.value)


@pytest.mark.parametrize(
    "text", ["57.16", "57.1", "57", "0.500", "1234.500", "57.1600", "1e2", "", "abc", "-1", "x,y"]
)
def test_what_can_be_read_in_one_way_or_is_no_amount_is_left_to_the_decoder(text: str) -> None:
    assert AmountMarks().plain(text) == text


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "expected"),
    [
        ("150.000", ".", None, 15_000),
        ("150.000", None, ".", 15_000_000),
        ("150.000", ",", None, 15_000_000),
        ("150,000", ",", None, 15_000),
        ("150,000", None, ",", 15_000_000),
        ("1.234,56", ",", None, 123_456),
        ("1.234,56", None, ".", 123_456),
        ("1.234,56", ",", ".", 123_456),
        ("1,234.56", ".", None, 123_456),
        ("1,234.56", None, ",", 123_456),
        ("1 234,56", ",", None, 123_456),
        ("1\u00a0234,56", ",", " ", 123_456),
        ("1\u202f234.56", None, " ", 123_456),
        ("1'234.56", ".", None, 123_456),
        ("1\u2019234.56", None, "'", 123_456),
        ("1,23,456.78", ".", ",", 12_345_678),
        ("12.345.678", None, ".", 1_234_567_800),
        ("57,1", ",", None, 5_710),
        ("57", ",", None, 5_700),
        ("1234,5", ",", None, 123_450),
    ],
)
def test_named_marks_are_read(text: str, decimal: str | None, thousands: str | None, expected: int) -> None:
    assert hundredths(text, decimal, thousands) == expected


@pytest.mark.parametrize(
    ("text", "decimal", "thousands"),
    [
        ("12.34", ",", None),  # a decimal point after all
        ("1.234,56", ".", None),
        ("1,234.56", ",", None),
        ("1.23.456,00", ",", "'"),
        ("1.2345", ",", None),
        ("12.34.567.8", None, "."),
        ("1 234.567,00", ",", None),  # two marks between thousands
        (".5", ".", None),
        ("9" * 10_000, ",", None),
        ("1." * 10_000, ",", None),
    ],
)
def test_what_is_not_written_so_is_refused(text: str, decimal: str | None, thousands: str | None) -> None:
    with pytest.raises(ValueError, match="is not a number with"):
        AmountMarks(decimal, thousands).plain(text)


def test_a_text_of_a_megabyte_costs_nothing() -> None:
    for marks in (AmountMarks(), AmountMarks(",", ".")):
        for text in ("1." * 500_000 + "x", "1" * 1_000_000 + ",", "1 " * 500_000):
            with suppress(ValueError):
                assert marks.plain(text) == text
