"""A mapping compiled: records in, what the topic of transactions takes out."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.mapping.amounts import SkippedAmountError, amount_reader
from schemas.mapping.checking import LONGEST
from schemas.mapping.conditions import holds
from schemas.mapping.dates import date_reader
from schemas.mapping.ids import id_reader
from schemas.mapping.keeping import keeper
from schemas.mapping.outcome import Mapped, Unmapped
from schemas.mapping.paths import Record
from schemas.mapping.spec import MappingSpec, TextSpec
from schemas.mapping.texts import change_of, text_reader
from schemas.mapping.together import Together
from schemas.refusal import Refused
from schemas.transaction import Decoder

_TOGETHER = 256  # records: of more, their values drive each other out of the processor's cache
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_REQUIRED = frozenset(["currency", "status"])
_NONE = 'missing: say default = "…" for records without one'


class Mapper:
    """Maps records by a mapping; the strict decoder has the last word on each."""

    def __init__(self, spec: MappingSpec, decoder: Decoder) -> None:
        self._decoder = decoder
        self._together = Together(spec, decoder)
        self._conditions = [holds(condition) for condition in spec.only]
        self._readers = _readers(spec)
        self._keep = keeper(spec)

    def read(self, record: Record, now_ms: int) -> Mapped | None:
        """The record as a transaction; None where a condition of the mapping leaves it out.

        `now_ms` is the record's time, by which the decoder refuses dates that are far ahead.

        Raises:
            Unmapped: It cannot be mapped; no other error is raised.
        """
        made = self._made(record)
        if made is not None:
            try:
                self._decoder.decode(made.value, made.key, now_ms)
            except Refused as refused:
                raise _unmapped(refused) from None
        return made

    def read_many(
        self, records: Sequence[Record], timestamps_ms: Sequence[int]
    ) -> list[Mapped | Unmapped | None]:
        """Map many records as `read` does each, in a fifth of the time; what does not map is returned."""
        made: list[Mapped | Unmapped | None] = []
        for start in range(0, len(records), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            made += self._read_part(records[part], timestamps_ms[part])
        return made

    def _read_part(
        self, records: Sequence[Record], timestamps_ms: Sequence[int]
    ) -> list[Mapped | Unmapped | None]:
        together, certain = self._together.read(records, timestamps_ms)
        made: list[Any] = [
            self._tried(record) if one is None else one for record, one in zip(records, together, strict=True)
        ]
        unsure = [
            place
            for place, one in enumerate(made)
            if isinstance(one, Mapped) and not (certain and together[place] is one)
        ]
        sent = [made[place] for place in unsure]
        decoded = self._decoder.decode_many(
            [one.value for one in sent], [one.key for one in sent], [timestamps_ms[place] for place in unsure]
        )
        for place, found in zip(unsure, decoded, strict=True):
            if isinstance(found, Refused):
                made[place] = _unmapped(found)
        return made

    def _tried(self, record: Record) -> Mapped | Unmapped | None:
        try:
            return self._made(record)
        except Unmapped as unmapped:
            return unmapped

    def _made(self, record: Record) -> Mapped | None:
        name, fields = "mapping", {}
        try:
            for condition in self._conditions:
                if not condition(record):
                    return None
            for name, read in self._readers:
                if value := read(record):
                    fields[name] = value
                elif name in _REQUIRED:
                    raise ValueError(_NONE)  # noqa: TRY301 - as what a reader raises
            name = "meta_data"
            if kept := self._keep(record):
                fields[name] = kept
            value = _ENCODE(fields)
        except SkippedAmountError:
            return None
        except UnicodeError:
            raise Unmapped("text", f"{name} is not UTF-8") from None
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unmapped(name, str(error)) from None
        return Mapped(fields["user_id"].encode(), value, fields["txn_date"])


def _readers(spec: MappingSpec) -> list[tuple[str, Callable[[Record], Any]]]:
    currency = _text("currency", spec.currency)
    texts = [(name, getattr(spec, name)) for name in LONGEST if name != "currency"]
    return [
        ("id", id_reader(spec.id, repeated=False)),
        ("user_id", id_reader(spec.user_id, repeated=True)),
        ("amount", amount_reader(spec.amount, currency)),
        ("currency", currency),
        ("txn_date", date_reader(spec.txn_date)),
        *((name, _text(name, text)) for name, text in texts if text is not None),
    ]


def _text(name: str, spec: TextSpec) -> Callable[[Record], str]:
    return text_reader(spec, LONGEST[name], change_of(name))


def _unmapped(refused: Refused) -> Unmapped:
    return Unmapped(refused.reason, refused.detail)
