"""Amounts: exact, of whatever form the source has, as decimal text for the decoder."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from typing import Final

from schemas.mapping.columns import Column, column_of
from schemas.mapping.marks import AmountMarks, UnclearAmountError
from schemas.mapping.paths import Record, getter, values_of
from schemas.mapping.spec import AmountSpec
from schemas.mapping.texts import TextReader, first_of
from schemas.mapping.values import text_of
from schemas.refusal import excerpt

_ROUNDING: Final = {"half even": ROUND_HALF_EVEN, "half up": ROUND_HALF_UP, "down": ROUND_DOWN}
_ROUND_WAY = 'say round = "half even", "half up" or "down" to have it rounded'
_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_OTHERWISE = {"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4}
EXPONENTS: Final[Mapping[str, int]] = {**dict.fromkeys(_WITHOUT_DECIMALS.split(), 0), **_OTHERWISE}
"""Decimals of currencies that have not two, as ISO 4217 lists them."""

# As accountants write a negative amount; a sign that says nothing.
_ACCOUNTED = re.compile(r"\((?P<round>[^()]+)\)|(?P<behind>[^-]+)-|\+(?P<plus>[^+-]+)")
_SCIENTIFIC = re.compile(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]{1,3}")  # as R and pandas write 100,000
_PLAIN = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,2})?")
_ALL_PLAIN = re.compile(rf"(?:{_PLAIN.pattern}\n)*+")
_NUMBERS, _NO_AMOUNTS = frozenset([int, Decimal]), (bool, bytes)
_LONGEST = 64
_LARGEST_EXPONENT = 30
_CENT = Decimal("0.01")
_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation])
_INEXACT = Context(prec=400, traps=[InvalidOperation])


class SkippedAmountError(ValueError):
    """The record is none that is wanted, by the sign of its amount."""


def amount_reader(spec: AmountSpec, currency: TextReader) -> Callable[[Record], str]:
    """What makes the decimal text of a record's amount.

    It raises ValueError where it cannot be read, or in several ways, and SkippedAmountError.
    """
    read, written = _number_reader(spec), _Amount(spec)
    if spec.minor_units is False:
        simple = spec.sign != "skip positive"

        def amount(record: Record) -> str:
            text = read(record)
            return text if simple and _PLAIN.fullmatch(text) else written(text, 0)

        return amount
    exponent = _exponent(spec, currency)
    return lambda record: written(read(record), exponent(record))


def amount_column(spec: AmountSpec, currency: TextReader) -> Column:
    """What makes the decimal texts of many records' amounts, as `amount_reader` does of each."""
    read = amount_reader(spec, currency)
    if spec.minor_units is not False or spec.sign == "skip positive" or not isinstance(spec.source, str):
        return column_of(read)
    values, is_written = values_of(spec.source), not (spec.decimal or spec.thousands or spec.remove)

    def quick(records: Sequence[Record]) -> list[str]:
        found = values(records)
        kinds = {*map(type, found)}
        texts = found if is_written and kinds == {str} else [*map(str, found)] if kinds <= _NUMBERS else []
        if not texts or not are_plain(texts):
            raise ValueError
        return texts

    return column_of(read, quick)


def are_plain(texts: Sequence[str]) -> bool:
    """Whether all are amounts as the decoder takes them, of at most two decimals."""
    lines = "\n".join([*texts, ""])
    return lines.count("\n") == len(texts) and _ALL_PLAIN.fullmatch(lines) is not None


def _exponent(spec: AmountSpec, currency: TextReader) -> Callable[[Record], int]:
    if spec.minor_units is not True:
        fixed = int(spec.minor_units)
        return lambda _: fixed
    known = {**EXPONENTS, **spec.exponents}
    return lambda record: known.get(currency(record), 2)


def _number_reader(spec: AmountSpec) -> Callable[[Record], str]:
    """What reads a number's text with a point before its decimals."""
    marks = AmountMarks(spec.decimal or None, spec.thousands or None, '{} = "{}"')
    removed = str.maketrans("", "", spec.remove)
    sources = [spec.source] if isinstance(spec.source, str) else spec.source
    getters = [getter(source) for source in sources]
    value_of = getters[0] if len(getters) == 1 else first_of(getters)

    def read(record: Record) -> str:
        value = value_of(record)
        if type(value) in _NUMBERS:
            return str(value)
        if not isinstance(value, str):
            return _number(value)
        return _plain(text_of(value.translate(removed) if removed else value), marks)

    return read


def _number(value: object) -> str:
    if isinstance(value, _NO_AMOUNTS):
        raise ValueError(f"{value!a} is no amount"[:_LONGEST])  # noqa: TRY004 - of a record's value
    return text_of(value)


def _plain(text: str, marks: AmountMarks) -> str:
    if found := _ACCOUNTED.fullmatch(text) if len(text) <= _LONGEST else None:
        minus = "" if found["plus"] else "-"
        text = minus + (found["round"] or found["behind"] or found["plus"]).strip()
    if marks.decimal != "," and _SCIENTIFIC.fullmatch(text):
        return text
    try:
        return marks.plain(text)
    except UnclearAmountError as error:
        raise ValueError(str(error)) from None


class _Amount:
    """A number's text as an amount's: by its sign, its units and its decimals."""

    def __init__(self, spec: AmountSpec) -> None:
        self._sign = spec.sign
        self._rounding = _ROUNDING.get(spec.round)

    def __call__(self, text: str, exponent: int) -> str:
        value = self._signed(_decimal(text))
        try:
            scaled = _EXACT.scaleb(value, -exponent)
            if self._rounding is None:
                return f"{_EXACT.quantize(scaled, _CENT):f}"
            return f"{scaled.quantize(_CENT, self._rounding, _INEXACT):f}"
        except Inexact:
            raise ValueError(f"{excerpt(text)} has more than 2 decimals: {_ROUND_WAY}") from None
        except InvalidOperation:
            raise ValueError(f"{excerpt(text)} cannot be an amount") from None

    def _signed(self, value: Decimal) -> Decimal:
        negative = value.is_signed() and bool(value)
        if self._sign == ("skip negative" if negative else "skip positive"):
            raise SkippedAmountError
        if negative and self._sign == "refuse negative":
            raise ValueError(
                f'{value} is negative: say sign = "absolute", "skip negative", or "skip positive" '
                "where negative ones are the payments"
            )
        return value.copy_abs()  # `abs` would round it to 28 digits first


def _decimal(text: str) -> Decimal:
    if not text:
        raise ValueError("missing")
    try:
        value = Decimal(text) if len(text) <= _LONGEST and text.isascii() and "_" not in text else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        raise ValueError(f"{excerpt(text)} is no number")
    if value.adjusted() > _LARGEST_EXPONENT:
        raise ValueError(f"{excerpt(text)} is 10^18 or more")
    return value
