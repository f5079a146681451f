"""Money between decimal text and integer hundredths, never through binary floating point."""

import re

LIMIT = 10**20
"""Amounts are below this many hundredths: 10^18 units, what `numeric(20,2)` holds."""

_SIMPLE = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([0-9])([0-9]?))?")
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)0*([0-9]+))?")
_CENTS = [f"{cents:02d}" for cents in range(100)]  # formatting each time costs twice as much
_LONGEST_EXPONENT = 6  # digits; the zeros that a larger exponent needs exceed a 64 KiB message


def amount_text(hundredths: int) -> str:
    """The decimal text of a non-negative amount, always with two decimals.

    >>> amount_text(1230), amount_text(5), amount_text(0)
    ('12.30', '0.05', '0.00')
    """
    units, cents = divmod(hundredths, 100)
    return f"{units}.{_CENTS[cents]}"


def parse_amount(text: str) -> int:
    """The hundredths that a decimal text stands for, 0 <= result < 10^20.

    The text has the form of a JSON number: no spaces, plus sign, underscores, leading zeros,
    NaN or Infinity, and digits are ASCII. Decimals are counted by value, so zeros at the end and
    an exponent are accepted. The time is linear in the length, whatever the exponent.

    Raises:
        ValueError: It has another form, more than 2 decimals, or is negative or too large.

    >>> parse_amount("12.3"), parse_amount("12.300"), parse_amount("1.23e1"), parse_amount("-0.0")
    (1230, 1230, 1230, 0)
    >>> parse_amount("12.345")
    Traceback (most recent call last):
    ValueError: more than 2 decimals
    """
    simple = _SIMPLE.fullmatch(text)
    if simple is None:
        return _any_number(text)
    units, tenths, hundredths = simple.groups()
    return int(units + (tenths or "0") + (hundredths or "0"))


def _any_number(text: str) -> int:
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise ValueError("not a decimal number")
    minus, units, decimals, exponent_sign, exponent = number.groups(default="")
    digits = (units + decimals).lstrip("0")
    if not digits:
        return 0
    if minus:
        raise ValueError("negative")
    if len(exponent) > _LONGEST_EXPONENT:
        raise ValueError("more than 2 decimals" if exponent_sign == "-" else "10^18 or more")
    significant = digits.rstrip("0")
    zeros = len(digits) - len(significant) - len(decimals) + int(exponent_sign + (exponent or "0")) + 2
    return _scaled(significant, zeros)


def _scaled(significant: str, zeros: int) -> int:
    if zeros < 0:
        raise ValueError("more than 2 decimals")
    if len(significant) + zeros >= len(str(LIMIT)):
        raise ValueError("10^18 or more")
    return int(significant + zeros * "0")
