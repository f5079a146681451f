"""What is kept of a user in a currency: 14 bytes and those of the sum, 19 for ordinary amounts."""

import struct
from datetime import datetime
from typing import Final

import msgspec

_DAYS_BEFORE = 2000
"""Hours count from this long before year 1, so that whatever comes first is long after hour 0."""
MOST_TAUGHT: Final = 200
"""From here on each amount takes the place of an average one, so that the usual can change."""

_ROW_BITS, _RISK_BITS, _HOUR_BITS = 8, 20, 27  # 2^27 hours are 15,000 years
_HEAD = struct.Struct("<QIH")
_TAUGHT_SHIFT = _ROW_BITS + _RISK_BITS + _HOUR_BITS
_MOST_TOTAL = 1 << 96


class State(msgspec.Struct, frozen=True, gc=False):
    """A user in a currency, never changed in place."""

    taught: int = 0
    """How many amounts are in the sum."""
    total: int = 0
    """Their sum, in hundredths."""
    risk: int = 0
    """How likely the card is stolen, in 2^-20, as of `hour`."""
    hour: int = 0
    """Of the latest transaction; 0 for none yet."""
    row: int = 0
    """How many suspicious ones there were in a row."""
    mark: int = 0
    """Which suspicious amount may turn out to be a habit; 0 for none."""
    marked: int = 0
    """The day when it was seen last, or first within a week."""


def hour_of(date: datetime) -> int:
    """The hour that a state knows a date by."""
    return (date.toordinal() + _DAYS_BEFORE) * 24 + date.hour


def encode(state: State) -> bytes:
    """The state's bytes."""
    head = (
        (state.taught << _TAUGHT_SHIFT)
        | (state.row << _RISK_BITS + _HOUR_BITS)
        | (state.hour << _RISK_BITS)
        | state.risk
    )
    total = state.total
    return _HEAD.pack(head, state.marked, state.mark) + total.to_bytes(
        (total.bit_length() + 7) // 8, "little"
    )


def decode(packed: bytes) -> State:
    """The state that the bytes stand for.

    Raises:
        ValueError: They are not a state's.
    """
    if not _HEAD.size <= len(packed) <= _HEAD.size + 12:
        raise ValueError("not a state of odds")
    head, marked, mark = _HEAD.unpack_from(packed)
    total = int.from_bytes(packed[_HEAD.size :], "little")
    taught, row = head >> _TAUGHT_SHIFT, head >> _RISK_BITS + _HOUR_BITS & 0xFF
    if taught > MOST_TAUGHT or (total and not taught):
        raise ValueError("not a state of odds")
    return State(taught, total, head & 0xFFFFF, head >> _RISK_BITS & 0x7FFFFFF, row, mark, marked)
