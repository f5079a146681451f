"""Decimals that are written as a whole number in bytes, and how many of its digits stand after the point."""

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final, NoReturn

_DIGITS: Final = 1_000
LONGEST: Final = 415
"""Bytes, of 1,000 digits at most: longer ones take a time that grows with their square."""
EXACT: Final = Context(prec=_DIGITS, traps=[Inexact, InvalidOperation, Overflow])
"""What never rounds."""


def scaled(unscaled: bytes, scale: int) -> Decimal:
    """The decimal of a signed number in bytes, and how many digits are after the point: exact.

    Raises:
        ValueError: It is longer than any that there may be.

    >>> scaled(bytes([0x04, 0xCE]), 2), scaled(bytes([0xFF]), 0)
    (Decimal('12.30'), Decimal('-1'))
    """
    if len(unscaled) > LONGEST:
        too_long(unscaled)
    if not -_DIGITS <= scale <= _DIGITS:
        raise ValueError(f"a decimal of the scale {scale}")
    return EXACT.scaleb(int.from_bytes(unscaled, signed=True), -scale)


def too_long(unscaled: bytes) -> NoReturn:
    """Refuse a number of so many bytes."""
    raise ValueError(f"a decimal of {len(unscaled)} bytes")
