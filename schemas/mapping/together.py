"""Many records mapped at once, column by column."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import compress
from typing import Any, Final, NamedTuple

import msgspec

from schemas.mapping.amounts import amount_column, are_plain
from schemas.mapping.checking import LONGEST
from schemas.mapping.columns import UNUSUAL, Column, column_of
from schemas.mapping.conditions import holds
from schemas.mapping.dates import date_column
from schemas.mapping.ids import id_column
from schemas.mapping.keeping import kept_column
from schemas.mapping.outcome import Mapped
from schemas.mapping.paths import Record
from schemas.mapping.spec import MappingSpec
from schemas.mapping.texts import change_of, text_column, text_reader
from schemas.transaction import Decoder

_SIMPLE: Final = frozenset([str, bool, int])  # values of other types may be too deep, or out of range
_SHORT = 300  # bytes that cannot hold a number of 309 digits
_NUL = b"\\u0000"
_LETTERS = {"currency": re.compile("[A-Za-z]{3}"), "country": re.compile("(?:[A-Za-z]{2})?")}


class _Wire(msgspec.Struct, omit_defaults=True, gc=False):
    """A transaction to be encoded."""

    id: str
    user_id: str
    amount: str
    currency: str
    txn_date: datetime
    status: str
    merchant_id: str = ""
    card_id: str = ""
    country: str = ""
    channel: str = ""
    meta_data: dict[str, Any] = {}


_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_FIELDS = _Wire.__struct_fields__
_REQUIRED = ("currency", "status")  # of the texts


class ReadTogether(NamedTuple):
    """What became of records."""

    made: list[Mapped | None]
    """None in place of those that have to be read alone."""
    certain: bool
    """Whether the decoder certainly takes all that are made."""


class Together:
    """Makes transactions of the records whose fields can all be read."""

    def __init__(self, spec: MappingSpec, decoder: Decoder) -> None:
        self._decoder = decoder
        self._conditions = [holds(condition) for condition in spec.only]
        self._readers = dict(_readers(spec))

    def read(self, records: Sequence[Record], timestamps_ms: Sequence[int]) -> ReadTogether:
        """Make what can be made."""
        failed = set[int]()
        columns = {name: read(records, failed) for name, read in self._readers.items()}
        for test in self._conditions:
            holding = column_of(test)(records, failed)
            failed.update(place for place, holds_ in enumerate(holding) if not holds_)
        for name in _REQUIRED:
            failed.update(place for place, text in enumerate(columns[name]) if not text)
        taken = [place not in failed for place in range(len(records))]
        if failed:
            columns = {name: [*compress(column, taken)] for name, column in columns.items()}
        try:
            values = _encoded(columns, sum(taken))
        except UNUSUAL:  # a text that is not UTF-8, a value that JSON does not have
            return ReadTogether([None] * len(records), certain=True)
        keys = map(str.encode, columns["user_id"])
        made = map(Mapped, keys, values, columns["txn_date"])
        certain = not values or self._are_certain(columns, values, min(timestamps_ms))
        return ReadTogether([next(made) if one else None for one in taken] if failed else [*made], certain)

    def _are_certain(self, columns: dict[str, list[Any]], values: list[bytes], oldest_ms: int) -> bool:
        kinds = {type(value) for kept in columns["meta_data"] for value in kept.values()}
        longest = min(_SHORT, self._decoder.max_bytes) if int in kinds else self._decoder.max_bytes
        return (
            kinds <= _SIMPLE
            and are_plain(columns["amount"])
            and not self._decoder.is_ahead(max(columns["txn_date"]), oldest_ms)
            and max(map(len, values)) <= longest
            and _NUL not in b"".join(values)
            and all(_are_taken(name, columns[name]) for name in LONGEST if name in columns)
        )


def _readers(spec: MappingSpec) -> Iterator[tuple[str, Column]]:
    currency = text_reader(spec.currency, LONGEST["currency"], change_of("currency"))
    yield "id", id_column(spec.id, repeated=False)
    yield "user_id", id_column(spec.user_id, repeated=True)
    yield "amount", amount_column(spec.amount, currency)
    yield "txn_date", date_column(spec.txn_date)
    for name, most in LONGEST.items():
        if (text := getattr(spec, name)) is not None:
            yield name, text_column(text, most, change_of(name))
    yield "meta_data", kept_column(spec)


def _encoded(columns: dict[str, list[Any]], count: int) -> list[bytes]:
    nothing = [""] * count
    return [_ENCODE(one) for one in map(_Wire, *(columns.get(name, nothing) for name in _FIELDS))]


def _are_taken(name: str, texts: list[str]) -> bool:
    """Whether the decoder takes these texts."""
    if (letters := _LETTERS.get(name)) is not None:
        return all(map(letters.fullmatch, {*texts}))
    return max(map(len, texts)) <= LONGEST[name] and "".join(texts).isprintable()
