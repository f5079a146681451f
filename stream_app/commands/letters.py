"""Refused messages as they lie in the dead-letter topic."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from aiokafka import ConsumerRecord

from infra.runtime.kafka import read_committed
from stream_app.settings import Settings


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record is: its text is `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place of this text; ValueError when it is none.

        >>> Place.parse("3:17")
        Place(partition=3, offset=17)
        """
        partition, _, offset = text.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()):
            raise ValueError(f"{text!r} is no partition:offset")
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused message: its raw key and value, why it was refused, and where it came from."""

    place: Place
    reason: str
    detail: str
    source_topic: str
    source: Place
    refused_at: datetime
    key: bytes | None
    value: bytes
    cut_from: int | None
    """How long the value was when it was too long to be kept whole, else None."""

    @classmethod
    def of(cls, record: "ConsumerRecord[bytes, bytes]") -> Self:
        """The letter in a record of the dead-letter topic."""
        headers = {name: value.decode(errors="replace") for name, value in record.headers}
        return cls(
            place=Place(record.partition, record.offset),
            reason=headers["reason"],
            detail=headers["detail"],
            source_topic=headers["source-topic"],
            source=Place(int(headers["source-partition"]), int(headers["source-offset"])),
            refused_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            key=record.key,
            value=record.value or b"",
            cut_from=int(headers["cut-from"]) if "cut-from" in headers else None,
        )


async def read_letters(settings: Settings) -> AsyncGenerator[Letter, None]:
    """Every letter that the topic holds now, partition by partition in its order.

    Raises:
        KafkaError: The broker cannot be reached, or there is no such topic.
    """
    async with aclosing(read_committed(settings, settings.dlq_topic)) as batches:
        async for records in batches:
            for record in records:
                yield Letter.of(record)
