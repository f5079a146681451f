"""Rows in Postgres' binary COPY format, encoded by hand, as that is the fastest (decision 26).

Source: PostgreSQL documentation, "COPY", section "Binary Format"; the types' forms are those of their
`*_send` functions (uuid: 16 bytes; timestamptz: microseconds since 2000-01-01 UTC; numeric: base-10000
digits; jsonb: a version byte and the text).
"""

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat

from schemas.checks import OPTIONAL
from stream_app.scoring import Verdict, identities_of
from stream_app.window.recent import DATE

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_CHUNK_ROWS = 500
_BASE = 10_000  # of a numeric's digits
_LONGEST_CACHED = 32  # bytes of meta_data

_NULL = b"\xff\xff\xff\xff"
_THIRTEEN = b"\0\x0d"  # how many fields follow

_IDS = struct.Struct(">hi16si16s")  # field count, id, user_id
_MIDDLE = struct.Struct(">i3si8s12sq")  # currency, txn_date, source and a length, source_offset
_SOURCE = struct.Struct(">iii")
# All of that with an amount up to 9,999.99 between: one base-10000 digit before the point and one after.
_SMALL_AMOUNT_ROW = struct.Struct(_IDS.format + "12sHH" + _MIDDLE.format[1:])
_SMALL = struct.pack(">ihhHH", 12, 2, 0, 0, 2)


_PLACE = ("source", "source_offset")
COLUMNS = ("id", "user_id", "amount", "currency", "txn_date", *_PLACE, "status", "meta_data")
"""Those that all rows have."""


def columns_of(verdicts: Sequence[Verdict]) -> Sequence[str]:
    """The columns that a COPY of these has to have: those of the optional fields only if any row has one."""
    transactions = [verdict.transaction for verdict in verdicts]
    any_more = any([one.merchant_id or one.card_id or one.country or one.channel for one in transactions])  # noqa: C419 - a list is twice as fast
    return (*COLUMNS, *OPTIONAL) if any_more else COLUMNS


def copy_chunks(
    verdicts: Sequence[Verdict], source: int, columns: Sequence[str] = COLUMNS
) -> Iterator[bytes]:
    """The rows of a source as a COPY stream of these columns, which `columns_of` has given."""
    encode = encode_row if columns is COLUMNS else encode_full_row
    place = _SOURCE.pack(4, source, 8)
    yield _HEADER
    for start in range(0, len(verdicts), _CHUNK_ROWS):
        chunk = verdicts[start : start + _CHUNK_ROWS]
        users = identities_of([verdict.transaction.user_id for verdict in chunk])
        yield b"".join(map(encode, chunk, users, repeat(place)))
    yield _TRAILER


def encode_row(verdict: Verdict, user: bytes, place: bytes) -> bytes:
    """One row as a COPY tuple of nine fields; the user's id in 16 bytes, and the source as a field, too."""
    one = verdict.transaction
    currency, date, offset = one.currency.encode(), verdict.entry[DATE], verdict.offset
    meta_data = verdict.encoded()[1]
    last = (_cached_last_fields if len(meta_data) <= _LONGEST_CACHED else _last_fields)(one.status, meta_data)
    units, cents = divmod(one.amount, 100)
    if units < _BASE:
        cents *= 100
        ids_to_offset = _SMALL_AMOUNT_ROW.pack(
            9, 16, verdict.identity, 16, user, _SMALL, units, cents, 3, currency, 8, date, place, offset
        )
        return ids_to_offset + last
    ids = _IDS.pack(9, 16, verdict.identity, 16, user)
    middle = _MIDDLE.pack(3, currency, 8, date, place, offset)
    return ids + encode_amount(one.amount) + middle + last


def encode_full_row(verdict: Verdict, user: bytes, place: bytes) -> bytes:
    """The same with four fields more."""
    one, usual = verdict.transaction, encode_row(verdict, user, place)[len(_THIRTEEN) :]
    more = _optional_field(one.merchant_id) + _optional_field(one.card_id)
    return _THIRTEEN + usual + more + _last_optional_fields(one.country, one.channel)


def _optional_field(text: str | None) -> bytes:
    if text is None:
        return _NULL
    encoded = text.encode()
    return len(encoded).to_bytes(4) + encoded


@lru_cache(maxsize=1024)
def _last_optional_fields(country: str | None, channel: str | None) -> bytes:
    return _optional_field(country) + _optional_field(channel)


def _last_fields(status: str, meta_data: bytes) -> bytes:
    text = status.encode()
    return struct.pack(f">i{len(text)}siB", len(text), text, 1 + len(meta_data), 1) + meta_data


# Most rows have one of a few statuses, are not flagged and bring no metadata of their own.
_cached_last_fields = lru_cache(maxsize=1024)(_last_fields)


def encode_amount(hundredths: int) -> bytes:
    """A numeric field of two decimals: digits of base 10,000, the last one after the point."""
    units, cents = divmod(hundredths, 100)
    digits = [cents * 100]
    while units:
        units, digit = divmod(units, _BASE)
        digits.append(digit)
    count = len(digits)
    return struct.pack(f">ihhHH{count}H", 8 + 2 * count, count, count - 2, 0, 2, *reversed(digits))
