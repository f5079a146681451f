"""Checks of a JSON text before any field is read, so that all of it can be stored.

msgspec checks the syntax alone: it does not check the UTF-8 of what it skips, limits depth by what is left of
the interpreter's stack, accepts NUL, and reports a lone surrogate as a truncated message. Postgres's jsonb
accepts neither NUL nor lone surrogates, and numbers must stay the same when they are read and written again.
"""

import re
from decimal import Decimal
from itertools import accumulate
from math import isinf
from typing import Any

import msgspec

MAX_DEPTH = 100
"""Levels of objects and arrays, the outermost counted."""

MAX_NUMBER_LENGTH = 308
"""Digits of an integer and characters of any other number, in `meta_data`."""

_EXACT_LENGTH = 15  # a double keeps any 15 significant digits
_LONG_NUMBER = re.compile(rb"[0-9]{309}")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_ESCAPE = re.compile(
    rb"\\(?:[^u]"  # \n, \\ and the like
    rb"|u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4}"  # any character but NUL and surrogates
    rb"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    rb"|(u0000|u[dD][89a-fA-F][0-9a-fA-F]{2}))",  # what cannot be stored
    re.DOTALL,
)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NotJsonError(ValueError):
    """Not one JSON object in UTF-8, or nested deeper than MAX_DEPTH."""


class NotTextError(ValueError):
    r"""JSON, but with `\u0000` or a lone surrogate in some string or key."""


def is_plain(value: bytes) -> bool:
    """Whether a value that is JSON is certainly free of everything that this module refuses.

    Cheap, and true for nearly all messages. After False, only `fields` can tell.
    """
    if not is_plain_text(value):
        return False
    brackets = value.count(b"{") + value.count(b"[")
    return brackets <= MAX_DEPTH and _LONG_NUMBER.search(value) is None


def is_plain_text(value: bytes) -> bool:
    """Whether all text in it, which is JSON, can be stored."""
    return _is_utf8(value) and (b"\\u" not in value or _storable_escapes(value) is value)


def fields(value: bytes) -> dict[str, msgspec.Raw]:
    """Split an object into its fields, still encoded; of a key given twice the last one counts.

    Raises:
        NotJsonError: It is no such object.
        NotTextError: It is one, but holds characters that cannot be stored.
    """
    if not _is_utf8(value):
        raise NotJsonError("not UTF-8")
    if _depth(value) > MAX_DEPTH:
        raise NotJsonError(f"nested deeper than {MAX_DEPTH} levels")
    storable = _storable_escapes(value)
    try:
        found = _FIELDS.decode(storable)
    except msgspec.DecodeError as error:
        raise NotJsonError(str(error)) from None
    if storable is not value:
        raise NotTextError(r"\u0000 or a lone surrogate")
    return found


def exact_number(text: str) -> float | Decimal:
    """Convert a JSON number with a point or an exponent without changing its value.

    The result is a float where that is written as the same decimal value again, otherwise a Decimal.

    Raises:
        ValueError: It is too long, or out of a double's range, where other readers would see infinity or 0.

    >>> exact_number("12.30"), exact_number("12345678901234567.89")
    (12.3, Decimal('12345678901234567.89'))
    """
    number = float(text)
    if len(text) <= _EXACT_LENGTH and "e" not in text and "E" not in text:
        return number
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError(f"number longer than {MAX_NUMBER_LENGTH} characters")
    if isinf(number) or (number == 0 and _has_digits(text)):
        raise ValueError("number out of a double's range")
    if number == 0:
        return number
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact


def check_integers(value: Any) -> None:
    """Check the length of all integers, at any depth.

    Raises:
        ValueError: One has more than MAX_NUMBER_LENGTH digits.
    """
    limit = 10**MAX_NUMBER_LENGTH
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, int) and not -limit < item < limit:
            raise ValueError(f"integer of more than {MAX_NUMBER_LENGTH} digits")


def _is_utf8(value: bytes) -> bool:
    try:
        return value.isascii() or bool(value.decode())
    except UnicodeDecodeError:
        return False


def _depth(value: bytes) -> int:
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return 0
    brackets = _STRING.sub(b"", value).translate(None, _NOT_BRACKETS)
    return max(accumulate(1 if bracket in b"{[" else -1 for bracket in brackets), default=0)


def _storable_escapes(value: bytes) -> bytes:
    """The value itself, or a copy with U+FFFD in place of each escape that cannot be stored."""
    if b"\\u" not in value or not any(found[1] for found in _ESCAPE.finditer(value)):
        return value
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], value)


def _has_digits(text: str) -> bool:
    mantissa = re.split("[eE]", text, maxsplit=1)[0]
    return mantissa.strip("-0.") != ""
