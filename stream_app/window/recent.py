"""A user's last transactions, by which one that comes again is known: as a duplicate or as a revision.

An entry has 8 bytes of the transaction's id, its date (microseconds since 2000 in UTC, as Postgres sends it),
and 4 bytes of the rest of its content: of four thousand million revisions one is taken for a duplicate.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zlib import crc32

import msgspec

from schemas.transaction import Transaction

RECENT: Final = 20
"""How many of a user's last transactions are known again, whatever their currencies and the window's size."""
KEY_BYTES, ENTRY_BYTES = 8, 20
DATE = slice(8, 16)
"""Where an entry has the transaction's date."""

# A prime that 2^64 is no small number of: ids that differ by little in both halves have other remainders.
_PRIME = 0x9E3779B97F4A7BB9
_UNKNOWN = bytes(ENTRY_BYTES - KEY_BYTES)
_PACK = struct.Struct(">QqI").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_CONTENTS = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode_lines
_NOTES = msgspec.msgpack.Encoder().encode


class Note(msgspec.Struct, array_like=True):
    """What has to be known of a transaction that was flagged or revised."""

    flag: bytes = b""
    """Its first verdict, where that was a flag, as `schemas.scored.encode_flag` makes it."""
    revision: int = 1
    """The number of its newest content."""


_READ_NOTES = msgspec.msgpack.Decoder(dict[bytes, Note]).decode


def key_of(identity: bytes) -> int:
    """A transaction's id (16 bytes) as the number by which it is known again: 8 bytes will do among 20."""
    return int.from_bytes(identity) % _PRIME


def entries_of(transactions: Sequence[Transaction], identities: Sequence[bytes]) -> list[bytes]:
    """The entries of transactions, whose ids are given in 16 bytes, too.

    >>> at = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)
    >>> entries_of([Transaction("", "", 5, "INR", at, "paid", None)], [bytes(16)])[0].hex(" ", 4)
    '00000000 00000000 00000000 000f4240 a1c3dbea'
    """
    contents = _CONTENTS(
        [
            _full_content(one)
            if one.merchant_id or one.card_id or one.country or one.channel
            else (one.amount, one.currency, one.status, one.meta_data or None)
            for one in transactions
        ]
    )
    since = [one.txn_date - _EPOCH for one in transactions]
    number = int.from_bytes
    return [
        _PACK(
            number(identity) % _PRIME,
            (time.days * 86_400 + time.seconds) * 1_000_000 + time.microseconds,
            crc32(content),
        )
        for identity, time, content in zip(identities, since, contents.split(b"\n"), strict=False)
    ]


def _full_content(one: Transaction) -> tuple[Any, ...]:
    """What entries of transactions with optional fields are made of; those of the others are as they were."""
    usual = (one.amount, one.currency, one.status, one.meta_data or None)
    return (*usual, one.merchant_id, one.card_id, one.country, one.channel)


def unknown(identity: bytes) -> bytes:
    """The entry of a transaction of which only the id is known."""
    return key_of(identity).to_bytes(KEY_BYTES) + _UNKNOWN


def is_same(former: bytes, entry: bytes) -> bool:
    """Whether two entries have the same content, as far as it is known."""
    return former == entry or former[KEY_BYTES:] == _UNKNOWN


def date_of(entry: bytes) -> datetime:
    """The date in an entry."""
    return _EPOCH + timedelta(microseconds=int.from_bytes(entry[DATE], signed=True))


def read_note(notes: bytes, entry: bytes) -> Note:
    """What is noted of the transaction of this entry; of most, nothing."""
    return (_READ_NOTES(notes) if notes else {}).get(entry[:KEY_BYTES]) or Note()


def with_note(notes: bytes, entry: bytes, note: Note | None) -> bytes:
    """The notes with this one on the transaction of this entry, or (None) without one."""
    read: dict[bytes, Any] = _READ_NOTES(notes) if notes else {}
    if note is None:
        read.pop(entry[:KEY_BYTES], None)
    else:
        read[entry[:KEY_BYTES]] = note
    return _NOTES(read) if read else b""
