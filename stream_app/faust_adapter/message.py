"""A batch as Faust hands it on: one message and event, whose value is not looked at."""

import asyncio
from typing import Any

import faust
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from stream_app.batch import Batch


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Hands the batch on as it is: decoding is the pipeline's, where a bad record is refused alone."""

    def loads_value(self, _app: Any, message: Any, **_options: Any) -> Batch:
        """The batch."""
        batch: Batch = message.value
        return batch


class BatchMessage(ConsumerMessage):  # type: ignore[misc]
    """A batch on its way through Faust; its offset is the last that it passes."""

    __slots__ = ("finished",)

    def __init__(self, tp: TP, batch: Batch, generation: int) -> None:
        offset, timestamp = batch.next_offset - 1, batch.records[-1].timestamp if batch.records else 0
        # Before the value: the timestamp's type, headers and key; after it: the checksum.
        super().__init__(
            *tp, offset, timestamp / 1000, 0, [], None, batch, None, tp=tp, generation_id=generation
        )
        self.finished = asyncio.Event()
