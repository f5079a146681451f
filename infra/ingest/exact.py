"""Decimals that are written as a whole number in bytes, and how many of its digits stand after the point."""

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

_DIGITS: Final = 1_000
_LONGEST: Final = 415  # bytes, of 1,000 digits at most: longer ones take a time that grows with their square
_EXACT: Final = Context(prec=_DIGITS, traps=[Inexact, InvalidOperation, Overflow])


def scaled(unscaled: bytes, scale: int) -> Decimal:
    """The decimal of a signed number in bytes, and how many digits are after the point: exact.

    Raises:
        ValueError: It is longer than any that there may be.

    >>> scaled(bytes([0x04, 0xCE]), 2), scaled(bytes([0xFF]), 0)
    (Decimal('12.30'), Decimal('-1'))
    """
    if len(unscaled) > _LONGEST or not -_DIGITS <= scale <= _DIGITS:
        raise ValueError(f"a decimal of {len(unscaled)} bytes and the scale {scale}")
    return _EXACT.scaleb(int.from_bytes(unscaled, signed=True), -scale)
