"""What single records tell: when a flag was produced, when messages arrived, and why some were refused."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from api.dashboard.rates import Produced
from schemas.dead_letter import DeadLetter
from schemas.scored import source_of

_LAST = 20
_SHOWN = 300
_LOOK_UP_SECONDS = 1.0


class Refused(msgspec.Struct, frozen=True):
    """One refused message; `value` and `key` are what is legible of their beginnings."""

    at: int
    reason: str
    detail: str
    key: str
    value: str
    partition: int
    offset: int


class RefusedPage(msgspec.Struct, frozen=True):
    """Refused messages by reason, of all that the topic holds or of the newest, and the last few."""

    total: int
    complete: bool
    reasons: dict[str, int]
    last: Sequence[Refused]


class _Revised(msgspec.Struct):
    meta_data: dict[str, object]


class _Identified(msgspec.Struct):
    id: str
    txn_date: str
    user_id: str


def is_revision(flag: ConsumerRecord) -> bool:
    """Whether the flag was raised before, and is published again as its transaction has new content."""
    if flag.value is None or b'"revision"' not in flag.value:
        return False
    try:
        return "revision" in msgspec.json.decode(flag.value, type=_Revised).meta_data
    except msgspec.DecodeError:
        return False


async def produced(flag: ConsumerRecord, source: AIOKafkaConsumer, topic: str) -> Produced | None:
    """The timestamp of the source record that the flag's headers name; None unless found soon enough.

    `source` is a paused consumer of the source topic, which reads nothing else.
    """
    number, offset = source_of(flag.headers) or (-1, -1)
    partition = TopicPartition(topic, number)
    if partition not in source.assignment():
        return None
    source.seek(partition, offset)
    source.resume(partition)
    try:
        async with asyncio.timeout(_LOOK_UP_SECONDS):
            record = await source.getone(partition)
        identified = msgspec.json.decode(flag.value, type=_Identified)
    except (KafkaError, TimeoutError, msgspec.DecodeError):
        return None
    finally:
        source.pause(partition)
    if record.offset != offset:
        return None
    return Produced(identified.id, identified.txn_date, identified.user_id, record.timestamp)


async def arrived_by(source: AIOKafkaConsumer, times: Sequence[int], *, seconds: float) -> list[int]:
    """The sum of the source's offsets at each of these times; of the first ones alone if that takes longer.

    For one time Kafka takes 0.3 s in a compressed batch of 100,000 messages, which it reads for that. It is
    asked for one after the other: what is given up holds back this consumer's next question and no more.
    """
    found: list[int] = []
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(seconds):
            ends = await source.end_offsets(source.assignment())
            for at in times:
                answer = await source.offsets_for_times(dict.fromkeys(ends, at))
                offsets = {one: found_at.offset for one, found_at in answer.items() if found_at}
                found.append(sum((ends | offsets).values()))
    return found


class Refusals:
    """Refused messages: counts by reason; `complete` unless the reading began after the topic's beginning."""

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete
        self._reasons: Counter[str] = Counter()
        self._last: deque[Refused] = deque(maxlen=_LAST)

    def add(self, record: ConsumerRecord) -> None:
        """Count one refused message."""
        letter = DeadLetter.of(record)
        refused = Refused(
            at=letter.refused_ms,
            reason=letter.reason[:_SHOWN],
            detail=letter.detail[:_SHOWN],
            key=_legible(letter.key),
            value=_legible(letter.value),
            partition=letter.place.partition,
            offset=letter.place.offset,
        )
        self._reasons[refused.reason] += 1
        self._last.append(refused)

    def page(self) -> RefusedPage:
        """All of it, the commonest reason and the newest message first."""
        return RefusedPage(
            total=self._reasons.total(),
            complete=self._complete,
            reasons=dict(self._reasons.most_common()),
            last=sorted(self._last, key=lambda refused: (refused.at, refused.offset), reverse=True),
        )


def _legible(value: bytes | None) -> str:
    return (value or b"")[:_SHOWN].decode(errors="replace")
