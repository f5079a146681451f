"""A refused message on the topic of dead letters: as it is written, and as it is read.

The record has the key and value of the message, byte for byte, and headers that say why it was refused
(`reason`, a code, and `detail`) and where it came from (`source-topic`, `source-partition`, `source-offset`,
and `source-timestamp`: that record's, in milliseconds). Of one that is too large the start is kept, and
`cut-from` is how long its value was. What `txnwatch ingest` could not map says by which `mapping`, and has
the headers that it came with, their names after `source.`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol, Self

import msgspec

from schemas.scored import Header, source_headers, source_of

# With headers, below the 1,048,588 bytes that a broker takes by default.
_LARGEST = 1_000_000
_LARGEST_KEY = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # of year 9999
_FOREIGN = "foreign"
_OF_SOURCE = "source."
_MOST_HEADERS = 40_000  # bytes of names and values: more are left out, the record itself has them


class Place(NamedTuple):
    """Where a record is: its text is `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place of this text.

        Raises:
            ValueError: It is of another form.

        >>> Place.parse("3:17")
        Place(partition=3, offset=17)
        """
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise ValueError(f"{text!r} is no partition:offset")
        return cls(int(partition), int(offset))


class Consumed(Protocol):
    """What is read of a consumed record."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> Iterable[Header]:
        """In their order."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A refused message, or what somebody else has put on the topic: its reason is then `foreign`."""

    place: Place
    refused_ms: int
    reason: str
    detail: str
    source_topic: str
    source: Place | None
    key: bytes | None
    value: bytes
    cut_from: int | None
    """How long the value was when it was too long to be kept whole, else None."""
    source_ms: int | None = None
    """The timestamp of the message's own record, where the letter has it."""
    source_partitions: int | None = None
    """How many partitions its topic had, where the letter says it."""
    mapping: str = ""
    """The mapping that it did not fit, for messages of foreign topics."""
    headers: tuple[Header, ...] = ()
    """Those of a message of a foreign topic."""

    @classmethod
    def of(cls, record: Consumed) -> Self:
        """The letter in a record of the topic, whoever wrote it."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        source, cut_from = source_of(record.headers), headers.get("cut-from", "")
        source_ms, partitions = headers.get("source-timestamp", ""), headers.get("source-partitions", "")
        return cls(
            place=Place(record.partition, record.offset),
            refused_ms=record.timestamp,
            reason=headers.get("reason", _FOREIGN),
            detail=headers.get("detail", ""),
            source_topic=headers.get("source-topic", _FOREIGN),
            source=None if source is None else Place(*source),
            source_ms=int(source_ms) if source_ms.isdecimal() else None,
            source_partitions=int(partitions) if partitions.isdecimal() else None,
            key=record.key,
            value=record.value or b"",
            cut_from=int(cut_from) if cut_from.isdecimal() else None,
            mapping=headers.get("mapping", ""),
            headers=tuple(
                (name.removeprefix(_OF_SOURCE), value)
                for name, value in record.headers
                if name.startswith(_OF_SOURCE)
            ),
        )

    @property
    def refused_at(self) -> datetime:
        """When it was refused, in UTC."""
        return utc(self.refused_ms)


def utc(milliseconds: int) -> datetime:
    """The time of a record's timestamp, or the nearest that there is: a producer may say any.

    >>> utc(1_500).isoformat(), utc(2**62).year
    ('1970-01-01T00:00:01.500000+00:00', 9999)
    """
    return _EPOCH + timedelta(milliseconds=min(max(milliseconds, 0), _LAST_MS))


def encode_dead_letter(
    key: bytes | None,
    value: bytes,
    *,
    reason: str,
    detail: str,
    topic: str,
    source: Place,
    source_ms: int,
    partitions: int = 0,
    mapping: str = "",
    headers_of_source: Iterable[Header] = (),
) -> tuple[bytes | None, bytes, list[Header]]:
    """The key, value and headers to be written for a refused message.

    It came from `source` of `topic`, of so many partitions (0: not known), where its record has the
    timestamp `source_ms`. One of a foreign topic did not fit a `mapping`, and has headers of its own.
    """
    headers = [
        ("reason", reason.encode()),
        ("detail", detail.encode(errors="replace")),
        ("source-topic", topic.encode()),
        *source_headers(source.partition)(source.offset),
        ("source-timestamp", b"%d" % source_ms),
    ]
    if partitions:
        headers.append(("source-partitions", b"%d" % partitions))
    if mapping:
        headers.append(("mapping", mapping.encode()))
        headers += _of_source(headers_of_source)
    if len(key or b"") + len(value) > _LARGEST:
        # The other headers say where the whole of it is.
        headers.append(("cut-from", b"%d" % len(value)))
        key, value = key and key[:_LARGEST_KEY], value[: _LARGEST - _LARGEST_KEY]
    return key, value, headers


def _of_source(headers: Iterable[Header]) -> list[Header]:
    named = [(_OF_SOURCE + name, value) for name, value in headers]
    size = sum(len(name.encode(errors="replace")) + len(value or b"") for name, value in named)
    return named if size <= _MOST_HEADERS else []
