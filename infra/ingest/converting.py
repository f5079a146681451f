"""Foreign records as records of the input topic, or as dead letters that say why not."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from infra.ingest.decoding import Decoding, ForeignRecord
from infra.ingest.ordering import Sourced, SpreadUsers
from infra.runtime.partitioners import Partitioner
from infra.runtime.record_batches import Message
from schemas.dead_letter import Place, encode_dead_letter
from schemas.mapping import Mapped, Mapper, Unmapped
from schemas.scored import Header

_NO_HEADERS: list[Header] = []
_LEFT_OUT = "left_out"
_LOOKED_AT = 50  # records of each fetch, for spread users


class Converted(NamedTuple):
    """What records became, by partition of the topic it goes to."""

    transactions: Mapping[int, list[Message]]
    letters: Mapping[int, list[Message]]
    outcomes: Mapping[str, int]
    """How many records became what: mapped, left_out, refused_<reason>, or a word of the decoder's."""


@dataclass(frozen=True, slots=True)
class Converter:
    """Converts what was fetched, in its order."""

    decoding: Decoding
    mapper: Mapper
    partitioner: Partitioner
    letter_partitions: int
    mapping: str
    """The mapping's name, for dead letters."""
    spread: SpreadUsers | None = None
    """What looks whether a user is on several partitions, where that would matter."""

    async def prepare(self, records: Iterable[ForeignRecord]) -> None:
        """Have here what converting the records needs: schemas, which are waited for.

        Raises:
            RegistryError: They cannot be had.
        """
        await self.decoding.prepare(records)

    def convert(self, records: Sequence[Sourced]) -> Converted:
        """What the records become; those of a partition are in its order."""
        transactions: defaultdict[int, list[Message]] = defaultdict(list)
        letters: defaultdict[int, list[Message]] = defaultdict(list)
        outcomes, partition_of = Counter[str](), self.partitioner.of
        found = self._found([record for _, record in records])
        if self.spread is not None:
            some = zip(records[:_LOOKED_AT], found, strict=False)
            self.spread.look((one.key, source) for (source, _), one in some if isinstance(one, Mapped))
        for (source, record), one in zip(records, found, strict=True):
            if isinstance(one, Mapped):
                transactions[partition_of(one.key)].append((one.key, one.value, _NO_HEADERS))
            elif isinstance(one, Unmapped):
                outcomes[f"refused_{one.reason}"] += 1
                letters[source.partition % self.letter_partitions].append(self._letter(source, record, one))
            else:
                outcomes[one or _LEFT_OUT] += 1
        outcomes["mapped"] = sum(map(len, transactions.values()))
        return Converted(transactions, letters, outcomes)

    def _found(self, records: Sequence[Any]) -> list[Mapped | Unmapped | str | None]:
        """What each became: a word, or None, where it is left out."""
        found: list[Any] = self.decoding.decode_many(records)
        places = [place for place, one in enumerate(found) if type(one) is dict]
        now_ms = time.time_ns() // 1_000_000
        mapped = self.mapper.read_many([found[place] for place in places], [now_ms] * len(places))
        for place, one in zip(places, mapped, strict=True):
            found[place] = one
        return found

    def _letter(self, source: TopicPartition, record: Any, error: Unmapped) -> Message:
        return encode_dead_letter(
            record.key,
            record.value or b"",
            reason=error.reason,
            detail=error.detail,
            topic=source.topic,
            source=Place(source.partition, record.offset),
            source_ms=record.timestamp,
            mapping=self.mapping,
            headers_of_source=record.headers,
        )
