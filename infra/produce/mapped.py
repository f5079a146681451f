"""Records of any file as transactions, by a mapping (docs/data.md)."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from infra.produce.columns import printable
from infra.produce.errors import InputError
from infra.produce.files import Input
from infra.produce.records import Numbered, records_of
from infra.produce.rows import LEFT_OUT, Item, ProducerRecord, RejectedRow, Source
from infra.produce.tables import is_totals
from schemas.mapping import Mapped, Mapper, MappingSpec, Unmapped
from schemas.mapping.paths import parts_of
from schemas.transaction import Decoder

_AT_ONCE = 500  # together they take half the time


@dataclass(frozen=True, slots=True)
class MappedReader:
    """Turns a file's records into those of the topic; `now_ms` bounds their dates, as a worker would."""

    spec: MappingSpec
    decoder: Decoder
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def read(self, opened: Input, lines: Iterator[bytes]) -> Source:
        """The transactions of a file, and what is none.

        Raises:
            InputError: It is none of records, or has no column of those that the mapping reads.
        """
        mapper = Mapper(self.spec, self.decoder)
        found = records_of(opened, lines, self._check, self.spec.source.delimiter)
        while some := [*islice(found, 1 if opened.waits else _AT_ONCE)]:
            yield from self._items(mapper, some)

    def _items(self, mapper: Mapper, some: Sequence[Numbered]) -> Iterator[Item]:
        records: list[Any] = [record for _, record in some if not isinstance(record, RejectedRow)]
        mapped = iter(mapper.read_many(records, [self.now_ms()] * len(records)))
        for line, record in some:
            if isinstance(record, RejectedRow):
                yield record
            else:
                yield _item(line, next(mapped), record.values())

    def fits(self, header: Sequence[str]) -> bool:
        """Whether these are the names of columns that the mapping reads."""
        return not self._lacking(header)

    def _check(self, header: Sequence[str]) -> None:
        if lacking := self._lacking(header):
            shown = printable(", ".join(header))
            raise InputError(f"no column {', '.join(lacking)}, which the mapping reads; there are: {shown}")

    def _lacking(self, header: Sequence[str]) -> list[str]:
        spec = self.spec
        fields = (spec.id, spec.user_id, spec.amount, spec.txn_date, spec.currency, spec.status)
        read = [_names(one.source) for one in fields if one.source not in (None, "*")]
        return [" or ".join(names) for names in read if not {*names} & {*header}]


def _names(source: Any) -> list[str]:
    """The names at the top of a record, of which one has to be there."""
    return [parts_of(path)[0] for path in ([source] if isinstance(source, str) else source)]


def _item(line: int, mapped: Mapped | Unmapped | None, values: Any) -> Item:
    if isinstance(mapped, Mapped):
        return ProducerRecord(mapped.key, mapped.value, mapped.date)
    if mapped is None:
        return RejectedRow(line, LEFT_OUT, "a condition of the mapping")
    rejected = RejectedRow(line, mapped.reason, mapped.detail)
    return rejected.as_totals() if is_totals(one for one in values if isinstance(one, str)) else rejected
