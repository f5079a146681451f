"""Rows in Postgres' binary COPY format.

Source: PostgreSQL documentation, "COPY", section "Binary Format"; the types' forms are those of their
`*_send` functions (uuid: 16 bytes; timestamptz: microseconds since 2000-01-01 UTC; numeric: base-10000
digits; jsonb: a version byte and the text).
"""

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from stream_app.scoring import Verdict, identity_of

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
CHUNK_ROWS = 500

_IDS = struct.Struct(">hi16si16s")  # field count, id, user_id
_SMALL_AMOUNT = struct.Struct(">ihhHHHH")  # up to 9,999.99: one digit before the point and one after
_MIDDLE = struct.Struct(">i3siqi")  # currency, txn_date, how long status is
_JSONB = struct.Struct(">iB")  # how long it is, its version


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
    transaction = verdict.transaction
    _, meta_data = verdict.encoded()
    status = transaction.status.encode()
    date = (transaction.txn_date - POSTGRES_EPOCH) // MICROSECOND
    return b"".join(
        (
            _IDS.pack(7, 16, verdict.identity, 16, identity_of(transaction.user_id)),
            encode_amount(transaction.amount),
            _MIDDLE.pack(3, transaction.currency.encode(), 8, date, len(status)),
            status,
            _JSONB.pack(1 + len(meta_data), 1),
            meta_data,
        )
    )


def encode_amount(hundredths: int) -> bytes:
    """A numeric field of two decimals: digits of base 10,000, the last one after the point."""
    units, cents = divmod(hundredths, 100)
    if units < 10_000:  # noqa: PLR2004 - the base
        return _SMALL_AMOUNT.pack(12, 2, 0, 0, 2, units, cents * 100)
    digits = [cents * 100]
    while units:
        units, digit = divmod(units, 10_000)
        digits.append(digit)
    count = len(digits)
    return struct.pack(f">ihhHH{count}H", 8 + 2 * count, count, count - 2, 0, 2, *reversed(digits))
