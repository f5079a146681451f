"""What a source yields: records to send, and rows that are not sent."""

from collections.abc import Iterator

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """A Kafka record's key and value."""

    key: bytes | None
    value: bytes


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A row that is not sent: its first line in the file, counted from 1, and why."""

    line: int
    reason: str
    """A reason of the decoder, or `csv`."""
    detail: str


Item = Record | Rejected
Source = Iterator[Item]
