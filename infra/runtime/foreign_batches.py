"""What foreign producers and damaged disks put into a topic, below any message's own content.

Kafka takes a header's name as any bytes, and looks at no record's attributes. aiokafka's reader raises where
a name is not UTF-8, for ever, since the partition's next fetch begins with the same batch. Once its
reader has failed, what was fetched is read again by `LenientBatch`, which takes what a broker takes. Where
that fails too (a checksum, a codec, bytes that are no records), `UnreadableBatchError` names the place.
"""

# ruff: noqa: SLF001 - of aiokafka, changed as infra.runtime.aiokafka_changes says

import struct
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.record.util import decode_varint
from aiokafka.structs import TopicPartition

# The batches' format since Kafka 0.11: the first offset is at its head, the last one's distance at byte 23.
_MAGIC = 2
_PLACE = struct.Struct(">q15xi")


class UnreadableBatchError(KafkaError):  # type: ignore[misc]
    """A batch of records that nobody can read; the message names it, and the way past it."""

    def __init__(self, tp: TopicPartition, first: int, following: int | None, reason: Exception) -> None:
        past = "the next batch's offset" if following is None else str(following)
        upto = "" if following is None else f" to {following - 1}"
        super().__init__(
            f"topic {tp.topic} partition {tp.partition}: the records from offset {first}{upto} cannot be "
            f"read: {reason!r}. To go on without them, stop the workers and set their group to {past} "
            "(kafka-consumer-groups --reset-offsets --to-offset); for readers without a group, remove what "
            "is before it (kafka-delete-records). Of a changelog, which is compacted, Kafka removes nothing: "
            "run the worker whose data folder has all windows, or, without one, score from the source's "
            "beginning (`txnwatch state start-over`)"
        )


class KeptRecords(MemoryRecords):  # type: ignore[misc]
    """Fetched batches, with the bytes that they are read from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The same batches from an offset on, each read as leniently as brokers do."""

    def __init__(self, data: bytes, start: int) -> None:
        super().__init__(data)
        self.batch: LenientBatch | None = None
        """The one that is read."""
        while self.has_next() and 0 <= _next_offset(self._next_slice) <= start:
            self._cache_next()

    def next_batch(self) -> Any:
        """The next batch."""
        batch = self._next_slice
        if batch[self.MAGIC_OFFSET] < _MAGIC:
            return super().next_batch()
        self._cache_next()
        self.batch = LenientBatch(batch)
        return self.batch


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch whose records may have any attributes, and headers of any name."""

    def _read_msg(self, *_defaults: Any) -> Any:
        self._pos: int
        length, start = decode_varint(self._buffer, self._pos)
        delta, at = decode_varint(self._buffer, start + 1)  # after the attributes, which mean nothing so far
        number, at = decode_varint(self._buffer, at)
        key, at = self._bytes(at)
        value, at = self._bytes(at)
        headers, at = self._headers(at)
        if at - start != length:
            raise CorruptRecordException(f"a record of {length} bytes has {at - start}")
        self._pos = at
        timestamp = self.max_timestamp if self.timestamp_type else self.first_timestamp + delta
        place = self.base_offset + number
        return _DefaultRecordPy(place, timestamp, self.timestamp_type, key, value, headers)

    def _headers(self, at: int) -> tuple[list[tuple[str, bytes | None]], int]:
        count, at = decode_varint(self._buffer, at)
        headers = []
        for _ in range(count):
            name, at = self._bytes(at)
            content, at = self._bytes(at)
            headers.append(((name or b"").decode(errors="backslashreplace"), content))
        return headers, at

    def _bytes(self, at: int) -> tuple[bytes | None, int]:
        """Bytes with their length before them, -1 for none; and where they end."""
        size, at = decode_varint(self._buffer, at)
        return (None, at) if size < 0 else (bytes(self._buffer[at : at + size]), at + size)


def next_record(records: fetcher.PartitionRecords) -> Any:
    """In place of `PartitionRecords.__next__`: the next record, by the lenient reader once aiokafka's fails.

    Raises:
        UnreadableBatchError: The next record cannot be read. Those before it have been.
    """
    try:
        return next(records._records_iterator)
    except StopIteration:
        records._records_iterator = iter(())
        raise
    except Exception as error:  # noqa: BLE001 - whatever the reader failed at, the next one names it
        _read_leniently(records, error)
    return next_record(records)


def read_records(records: fetcher.PartitionRecords, into: list[Any], most: int) -> None:
    """Append the next records, at most so many in all: as `next_record`, without a call for each.

    Raises:
        UnreadableBatchError: The next record cannot be read. Those before it have been, and are in the list.
    """
    try:
        into.extend(islice(records._records_iterator, most - len(into)))
    except Exception as error:  # noqa: BLE001 - whatever the reader failed at, the next one names it
        _read_leniently(records, error)
        read_records(records, into, most)


def _read_leniently(records: fetcher.PartitionRecords, error: Exception) -> None:
    source = records._records
    if not isinstance(source, KeptRecords):
        raise _unreadable(records, error) from error
    records._records = LenientRecords(source.data, records.next_fetch_offset)
    records._records_iterator = records._unpack_records()


def _unreadable(records: fetcher.PartitionRecords, error: Exception) -> UnreadableBatchError:
    batch = records._records.batch if isinstance(records._records, LenientRecords) else None
    following = None if batch is None else batch.next_offset
    return UnreadableBatchError(records._tp, records.next_fetch_offset, following, error)


def _next_offset(batch: memoryview) -> int:
    """The offset after a batch's last; -1 of a format from before Kafka 0.11, which does not say."""
    base, delta = _PLACE.unpack_from(batch)
    return base + delta + 1 if batch[LenientRecords.MAGIC_OFFSET] >= _MAGIC else -1
