"""Rows in Postgres' binary COPY format.

Source: PostgreSQL documentation, "COPY", section "Binary Format"; the types' forms are those of their
`*_send` functions (uuid: 16 bytes; timestamptz: microseconds since 2000-01-01 UTC; numeric: base-10000
digits; jsonb: a version byte and the text).
"""

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

from stream_app.scoring import Verdict, identity_of

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
CHUNK_ROWS = 500
_SHORT = 32
_BASE = 10_000  # of a numeric's digits

_IDS = struct.Struct(">hi16si16s")  # field count, id, user_id
_MIDDLE = struct.Struct(">i3siq")  # currency, txn_date
# All of that with an amount up to 9,999.99 between: one digit before the point and one after.
_USUAL = struct.Struct(_IDS.format + "ihhHHHH" + _MIDDLE.format[1:])


def copy_chunks(verdicts: Iterable[Verdict]) -> Iterator[bytes]:
    """The rows as a COPY stream of (id, user_id, amount, currency, txn_date, status, meta_data)."""
    chunk = [HEADER]
    for verdict in verdicts:
        chunk.append(encode_row(verdict))
        if len(chunk) > CHUNK_ROWS:
            yield b"".join(chunk)
            chunk.clear()
    yield b"".join(chunk) + TRAILER


def encode_row(verdict: Verdict) -> bytes:
    """One row as a COPY tuple of seven fields."""
    one = verdict.transaction
    user, currency = identity_of(one.user_id), one.currency.encode()
    since = one.txn_date - POSTGRES_EPOCH
    date = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    meta_data = verdict.encoded()[1]
    last_fields = _usual_last_fields if len(meta_data) <= _SHORT else _last_fields
    last = last_fields(one.status, meta_data)
    units, cents = divmod(one.amount, 100)
    if units < _BASE:
        cents *= 100
        ids_to_date = _USUAL.pack(
            7, 16, verdict.identity, 16, user, 12, 2, 0, 0, 2, units, cents, 3, currency, 8, date
        )
        return ids_to_date + last
    ids, middle = _IDS.pack(7, 16, verdict.identity, 16, user), _MIDDLE.pack(3, currency, 8, date)
    return ids + encode_amount(one.amount) + middle + last


def _last_fields(status: str, meta_data: bytes) -> bytes:
    text = status.encode()
    return struct.pack(f">i{len(text)}siB", len(text), text, 1 + len(meta_data), 1) + meta_data


_usual_last_fields = lru_cache(maxsize=1024)(_last_fields)  # the same in most rows


def encode_amount(hundredths: int) -> bytes:
    """A numeric field of two decimals: digits of base 10,000, the last one after the point."""
    units, cents = divmod(hundredths, 100)
    digits = [cents * 100]
    while units:
        units, digit = divmod(units, _BASE)
        digits.append(digit)
    count = len(digits)
    return struct.pack(f">ihhHH{count}H", 8 + 2 * count, count, count - 2, 0, 2, *reversed(digits))
