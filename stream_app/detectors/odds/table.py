"""What an amount says, in integers alone: the same on every machine."""

import sys
from array import array
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import accumulate
from typing import Final, NamedTuple
from zlib import decompress

from stream_app.detectors.odds.densities import CELLS, NAT, OWN, ROWS

RISK_BITS: Final = 20
RISK: Final = 1 << RISK_BITS
"""A risk of 1: what a state has of it is below."""
PRIOR_SHIFT: Final = 6
"""Prior odds are kept for every 64th risk."""
UPDATE_SHIFT: Final = 4
UPDATE_BITS: Final = 16
DECAY_BITS: Final = 16
MOST_UPDATE: Final = 12 * NAT >> UPDATE_SHIFT
"""Odds of an amount beyond e^12 move the risk no further."""

_NAME = "densities.bin"
_HASH = "2985ada236496263bbcc36d8381d11314e4cf9cabf9d5d9d11b9a63b169d18b1"
_EXACT = Context(prec=20)  # decimal's ln and exp are correctly rounded, unlike a machine's
_BITS = 60
_LOG_BITS = 12
Row = Sequence[int]


class Damaged(RuntimeError):  # noqa: N818 - what the file is
    """The table is not the one that these programs were made with."""


class Odds(NamedTuple):
    """Log odds in 1/512 nat by row and cell, rising with the amount."""

    shrunk: Sequence[Row]
    """By how many amounts have taught (at most ROWS - 1), where the population's mean is known."""
    own: Sequence[Row]
    """The same where only the user's own amounts are; of none, nothing is known."""


@cache
def densities() -> tuple[Row, ...]:
    """The rows of `densities.bin`.

    Raises:
        Damaged: The file is another than the one whose hash is here.
    """
    packed = files(__package__).joinpath(_NAME).read_bytes()
    if sha256(packed).hexdigest() != _HASH:
        raise Damaged(f"{_NAME} is damaged: install txnwatch again")
    changes = array("i", decompress(packed))
    if sys.byteorder == "big":
        changes.byteswap()
    return tuple(tuple(accumulate(changes[at : at + CELLS])) for at in range(0, len(changes), CELLS))


@cache
def odds(factor: Fraction) -> Odds:
    """The odds of `factor` times the usual against the usual.

    More money is never less suspicious, hence the running maximum: without it the odds fall again where the
    amount is too much even for a thief.
    """
    places, log_factor = tuple(_scaled(factor)), logarithm(factor)
    rows = [_odds(row, places, log_factor) for row in densities()]
    shrunk, own = rows[:ROWS], rows[ROWS:]
    return Odds(shrunk, [(0,) * CELLS, *own, *shrunk[OWN : ROWS - 1]])


def _odds(row: Row, places: Sequence[tuple[int, int]], log_factor: int) -> Row:
    padded = (*row, row[-1])
    other = [(padded[at] * (256 - part) + padded[at + 1] * part >> 8) - log_factor for at, part in places]
    return tuple(accumulate((its - usual for its, usual in zip(other, row, strict=True)), max))


def _scaled(factor: Fraction) -> Iterator[tuple[int, int]]:
    """Where each cell's middle is once divided by the factor: a cell, and 256ths of the way to the next."""
    times, over = factor.as_integer_ratio()
    for cell in range(CELLS):
        place = max((2 * cell + 1) * over * 128 // times - 128, 0)
        yield min(place >> 8, CELLS - 1), place & 255


def logarithm(number: Fraction) -> int:
    """The natural logarithm in 1/512 nat."""
    times, over = number.as_integer_ratio()
    return round(NAT * (_EXACT.ln(times) - _EXACT.ln(over)))


@cache
def priors(share: Fraction) -> Row:
    """Log odds of a fraud before its amount is known, by `risk >> PRIOR_SHIFT`.

    `share`: how many of the transactions are frauds while a card is stolen.
    """
    times, over = share.as_integer_ratio()
    whole = 2 * (RISK >> PRIOR_SHIFT) * over
    frauds = range(times, whole * share.numerator // over + times, 2 * times)
    return tuple((_log(fraud) - _log(whole - fraud)) * NAT >> _BITS for fraud in frauds)


def _log(number: int) -> int:
    """The logarithm of the first 12 bits, in 2^-60: what is left out is a quarter of a unit at most."""
    logs, shift = _logs(), max(number.bit_length() - _LOG_BITS, 0)
    return logs[number >> shift] + shift * logs[2]


@cache
def _logs() -> Row:
    """The natural logarithms of 1 to 2^12 in 2^-60, each from the one before: decimal's ln takes 40 us."""
    logs = [0, 0]
    for number in range(1, 1 << _LOG_BITS):
        # log(1 + 1/n) = 2 artanh(1 / (2n + 1)), whose terms soon vanish
        x, power, step = 2 * number + 1, 1, 0
        term = (2 << _BITS) // x
        while term:
            step += term // power
            term, power = term // (x * x), power + 2
        logs.append(logs[-1] + step)
    return tuple(logs)


@cache
def updates(share: Fraction) -> Row:
    """How many times likelier an amount is of a stolen card than of another, in 2^-16, by its odds >> 4.

    Odds below 0 are found from the end, as Python counts; those of less money than usual are near 0.
    """
    middles = [Decimal(2 * at + 1) * (1 << UPDATE_SHIFT) / 2 for at in range(-MOST_UPDATE, MOST_UPDATE + 1)]
    likelier = [_EXACT.exp(middle / NAT) for middle in middles]
    mine, rest = _decimal(share), _decimal(1 - share)
    units = [round((mine * one + rest) * (1 << UPDATE_BITS)) for one in likelier]
    return (*units[MOST_UPDATE:], *units[:MOST_UPDATE])


@cache
def decays(hours: int) -> Row:
    """What is left of a risk after that many hours, in 2^-16, for 12 times as many: a 160,000th."""
    return tuple(
        round(_EXACT.exp(Decimal(-past) / hours) * (1 << DECAY_BITS)) for past in range(12 * hours + 1)
    )


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)
