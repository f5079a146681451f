"""What a fetch brought for a partition: aiokafka's classes with less work a record, and bounded batches."""

import sys
from itertools import islice
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher as aiokafka_fetcher

from stream_app.pipeline import Record

# About what a batch takes of a fetch, looked at every so many records: a few kilobytes of zeros, compressed,
# are megabytes of messages.
BATCH_BYTES = 16 << 20
AT_A_TIME = 100


class PlainRecords(aiokafka_fetcher.PartitionRecords):  # type: ignore[misc]
    """What a fetch brought for a partition, by record as aiokafka's compiled reader makes them.

    They have what `pipeline.Record` asks for; making its `ConsumerRecord` of each costs as much as decoding.
    """

    def _consumer_record(self, _tp: TopicPartition, record: Record) -> Record:
        return record


class BoundedFetch(aiokafka_fetcher.FetchResult):  # type: ignore[misc]
    """What a fetch brought for a partition, handed out by bounded batches."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Record]:
        """The next records, at most so many; no more once keys and values exceed BATCH_BYTES."""
        taken: list[Record] = []
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return taken
        size, most, is_last = 0, max_records or sys.maxsize, False
        while len(taken) < most and size < BATCH_BYTES and not is_last:
            asked = min(AT_A_TIME, most - len(taken))
            some: list[Record] = [*islice(self._partition_records, asked)]
            taken += some
            size += sum([len(record.value or b"") + len(record.key or b"") for record in some])
            is_last = len(some) < asked
        self._update_position()
        if is_last:
            self._partition_records = None  # as aiokafka marks what is used up
        return taken
