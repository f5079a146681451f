"""What a worker's partitions lag by, and what an open transaction holds back."""

import re
from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from stream_app.faust_adapter.lag import Lags, PartitionLag

ONE, TWO = TopicPartition("transactions", 1), TopicPartition("transactions", 2)


@dataclass
class Fetched:
    """Of aiokafka's consumer what tells of the last fetch."""

    stable: int | None
    high: int
    end: int | None = None
    """Up to where it can be read now, if a broker answers."""

    def assignment(self) -> set[TopicPartition]:
        return {ONE}

    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        assert partition == ONE
        return self.stable

    def highwater(self, partition: TopicPartition) -> int:
        assert partition == ONE
        return self.high

    async def end_offsets(self, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
        assert partitions == {ONE}
        if self.end is None:
            raise KafkaTimeoutError
        return {ONE: self.end}


def finished(at: int) -> Lags:
    lags = Lags()
    lags.finished = {ONE: at, TWO: 9}  # the second is no longer ours
    return lags


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (Fetched(None, 0), []),
        (Fetched(100, 100), [PartitionLag(1, 100, 0, 0)]),
        (Fetched(100, 1160), [PartitionLag(1, 100, 0, 1060)]),
        (Fetched(155, 160), [PartitionLag(1, 155, 55, 5)]),
    ],
)
def test_lag_is_of_what_can_be_read(consumer: Fetched, expected: list[PartitionLag]) -> None:
    assert list(finished(100).of(consumer)) == expected


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (Fetched(None, 0, end=130), PartitionLag(1, 130, 30, 0)),
        (Fetched(110, 160, end=150), PartitionLag(1, 150, 50, 10)),
        (Fetched(110, 160, end=500), PartitionLag(1, 500, 400, 0)),
        (Fetched(110, 160, end=105), PartitionLag(1, 110, 10, 50)),
    ],
)
async def test_lag_grows_also_while_nothing_is_fetched(consumer: Fetched, expected: PartitionLag) -> None:
    lags = finished(100)
    await lags.look(consumer)
    assert list(lags.of(consumer)) == [expected]


async def test_a_transaction_that_stays_open_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    lags = finished(100)
    for consumer in [Fetched(100, 101), Fetched(102, 103), Fetched(103, 103)]:
        await lags.look(consumer)
    assert not caplog.messages

    for high in (1060, 1160, 1260):
        await lags.look(Fetched(103, high))

    (said,) = caplog.messages
    assert re.fullmatch(
        r"partition 1: 1057 messages are held back by a transaction open since .* UTC: .*", said
    )
