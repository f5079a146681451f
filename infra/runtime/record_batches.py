"""Batches of records for a transactional producer."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.scored import Header

LARGEST_BATCH = 1 << 20
# Attributes of a record batch, as Kafka numbers them.
UNCOMPRESSED, LZ4, ZSTD = 0, 3, 4

Message = tuple[bytes | None, bytes | None, list[Header]]
"""Key, value and headers of a record to be written."""


class RecordBatch(BatchBuilder):  # type: ignore[misc]
    """A batch for `send_batch` of a transactional producer, filled by the thousand."""

    def __init__(self, compression: int) -> None:
        super().__init__(LARGEST_BATCH, compression, is_transactional=1)

    def fill(self, messages: Sequence[Message], start: int) -> int:
        """Append the messages from `start` on, at least one; the number of the first that did not fit."""
        append, now_ms = self._builder.append, int(time.time() * 1000)
        count = 0
        for key, value, headers in islice(messages, start, None):
            if append(count, now_ms, key, value, headers) is None:
                break
            count += 1
        self._relative_offset = count
        self.close()
        return start + count


def batches(messages: Sequence[Message], compression: int) -> Iterator[RecordBatch]:
    """The messages in as few batches as they fit in."""
    start = 0
    while start < len(messages):
        batch = RecordBatch(compression)
        start = batch.fill(messages, start)
        yield batch
