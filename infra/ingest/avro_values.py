"""What code that is written for a schema calls: numbers, lengths and times as Avro has them, and refusals."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from struct import Struct
from typing import Any, Final, NoReturn

from infra.ingest.exact import EXACT, LONGEST, too_long
from schemas.mapping import Unmapped

_LONGEST_NUMBER = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of any length, and where the next value is.

    >>> _number(bytes([128, 184, 230, 138, 132, 101, 7]), 0), _number(bytes([129, 1, 7]), 0)
    ((1735714983424, 6), (-65, 2))
    """
    found = shift = 0
    for byte in data[at : at + _LONGEST_NUMBER]:
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the last byte of a number has no highest bit
            return (found >> 1) ^ -(found & 1), at
        shift += 7
    raise EOFError("a number that does not end")


def _moment(data: bytes, at: int) -> tuple[datetime, int]:
    number, at = _number(data, at)
    return _EPOCH + _MILLISECOND * number, at


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Twice a number that is not negative, as short ones are written."""
    found, at = _number(data, at)
    if found < 0:
        raise ValueError(f"{found} is no length")
    return 2 * found, at


def _block(data: bytes, at: int) -> tuple[int, int]:
    """How many items come next, and where."""
    items, at = _number(data, at)
    if items < 0:
        items, (_, at) = -items, _number(data, at)
    if items > len(data) - at:
        raise EOFError(f"{items} items in {len(data) - at} bytes")
    return items, at


def _no_block(data: bytes, at: int) -> tuple[int, int]:
    items, at = _block(data, at)
    if items:
        raise ValueError(f"{items} items that take no bytes")
    return 0, at


def _unread(error: Exception) -> Unmapped:
    return Unmapped("avro", f"not by its schema: {type(error).__name__}: {error}"[:500])


def _left(count: int) -> Unmapped:
    said = f"{count} bytes more than its schema has" if count > 0 else f"not by its schema: {-count} missing"
    return Unmapped("avro", said)


def _no_branch(size: int) -> NoReturn:
    raise ValueError(f"a union of no type {size >> 1}")


CALLED: Final[Mapping[str, Any]] = {
    "unread": _unread,
    "left": _left,
    "length": _length,
    "number": _number,
    "block": _block,
    "no_block": _no_block,
    "no_branch": _no_branch,
    "float_at": Struct("<f").unpack_from,
    "double_at": Struct("<d").unpack_from,
    "longest": LONGEST,
    "too_long": too_long,
    "whole": int.from_bytes,
    "scaled": EXACT.scaleb,
    "day": date.fromordinal,
    "days": date(1970, 1, 1).toordinal(),
    "moment": _moment,
    "half": _MILLISECOND / 2,
    "highest": sum(1 << 7 * place + 7 for place in range(5)),
    "epoch": _EPOCH,
    "local_epoch": datetime(1970, 1, 1),  # noqa: DTZ001 - of dates that have no zone
    "milliseconds": _MILLISECOND,
    "microseconds": timedelta(microseconds=1),
}
"""By their names in the code."""
