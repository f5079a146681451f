"""A refused message on the topic of dead letters: as it is written, and as it is read.

The record has the key and value of the message, byte for byte, and headers that say why it was refused
(`reason`, a code, and `detail`) and where it came from (`source-topic`, `source-partition`, `source-offset`).
Of one that is too large the start is kept, and `cut-from` is how long its value was.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, Self

import msgspec

from schemas.scored import Header, source_headers, source_of

# With headers, below the 1,048,588 bytes that a broker takes by default.
_LARGEST = 1_000_000
_LARGEST_KEY = 1_000
_FOREIGN = "unknown"


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
    """A refused message, or what somebody else has put on the topic: its reason is then `unknown`."""

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

    @classmethod
    def of(cls, record: Consumed) -> Self:
        """The letter in a record of the topic, whoever wrote it."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        source, cut_from = source_of(record.headers), headers.get("cut-from", "")
        return cls(
            place=Place(record.partition, record.offset),
            refused_ms=record.timestamp,
            reason=headers.get("reason", _FOREIGN),
            detail=headers.get("detail", ""),
            source_topic=headers.get("source-topic", _FOREIGN),
            source=None if source is None else Place(*source),
            key=record.key,
            value=record.value or b"",
            cut_from=int(cut_from) if cut_from.isdecimal() else None,
        )

    @property
    def refused_at(self) -> datetime:
        """When it was refused, in UTC."""
        return datetime.fromtimestamp(self.refused_ms / 1000, UTC)


def encode_dead_letter(
    key: bytes | None, value: bytes, *, reason: str, detail: str, topic: str, source: Place
) -> tuple[bytes | None, bytes, list[Header]]:
    """The key, value and headers to be written for a refused message, which came from `source` of `topic`."""
    headers = [
        ("reason", reason.encode()),
        ("detail", detail.encode(errors="replace")),
        ("source-topic", topic.encode()),
        *source_headers(source.partition)(source.offset),
    ]
    if len(key or b"") + len(value) > _LARGEST:
        # The other headers say where the whole of it is.
        headers.append(("cut-from", b"%d" % len(value)))
        key, value = key and key[:_LARGEST_KEY], value[: _LARGEST - _LARGEST_KEY]
    return key, value, headers
