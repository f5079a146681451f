"""Batches of records as no client in Python makes them."""

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

LATIN_1 = b"h\xe4ndler"


class HeaderName(str):
    """A header's name whose bytes are not UTF-8, as clients in Go, C and PHP can have it."""

    __slots__ = ()

    def encode(self, *_arguments: str) -> bytes:
        """The name's bytes."""
        return LATIN_1


ODD_HEADERS = [(HeaderName("merchant"), b"x"), ("none", None)]


def builder(compression: int = 0, *, is_transactional: bool = False) -> _DefaultRecordBatchBuilderPy:
    """A builder in Python, which asks a header's name for its bytes."""
    return _DefaultRecordBatchBuilderPy(2, compression, is_transactional, -1, -1, -1, 1 << 20)


class OddBatch(BatchBuilder):  # type: ignore[misc]
    """A batch of such a builder, for a transactional producer."""

    def __init__(self, *arguments: int) -> None:
        super().__init__(*arguments)
        self._builder = builder(is_transactional=True)

    def _set_producer_state(self, *state: int) -> None:
        self._builder.set_producer_state(*state)


async def send_with_odd_headers(
    producer: AIOKafkaProducer, partition: TopicPartition, values: list[tuple[bytes, bytes]]
) -> None:
    """Send keys and values in one batch of a transactional producer, each with such headers."""
    batch = OddBatch(1 << 20, 0)
    for key, value in values:
        batch.append(key=key, value=value, timestamp=None, headers=ODD_HEADERS)
    sent = await producer.send_batch(batch, partition.topic, partition=partition.partition)
    await sent
