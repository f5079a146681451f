"""The partition and the order in which mended messages are sent again."""

from msgspec.structs import replace

from infra.runtime.partitioners import Partitioner, partition_of
from schemas.dead_letter import DeadLetter, Place
from stream_app.commands.dead_letters import Destination
from tests.support.messages import USER, message

OTHER = "0adc6002-5d0d-4b8e-9c1c-3b7f2a9d4e11"
# Neither on the partition 3 nor, both, on the same one.
LETTER = DeadLetter(
    place=Place(3, 0),
    refused_ms=1000,
    reason="amount",
    detail="",
    source_topic="transactions",
    source=Place(3, 17),
    key=USER.encode(),
    value=message(),
    cut_from=None,
)


def destination(partitions: int = 4) -> Destination:
    return Destination("transactions", Partitioner("murmur2", partitions))


def test_with_its_key_it_goes_where_its_producer_had_put_it() -> None:
    assert destination().of(LETTER, replace(LETTER, value=b"mended")).partition == 3


def test_with_another_key_or_from_elsewhere_it_goes_where_the_partitioner_puts_it() -> None:
    other, home = replace(LETTER, key=OTHER.encode()), partition_of("murmur2", USER.encode(), 4)
    assert home != 3
    assert destination().of(LETTER, other).partition == partition_of("murmur2", OTHER.encode(), 4) != home
    assert destination().of(replace(LETTER, key=None), LETTER).partition == home
    assert destination().of(replace(LETTER, source_topic="former"), LETTER).partition == home
    assert destination(2).of(LETTER, LETTER).partition == partition_of("murmur2", USER.encode(), 2)


def test_where_partitions_were_added_since_its_former_one_is_no_longer_the_users() -> None:
    four, six = (replace(LETTER, source_partitions=number) for number in (4, 6))
    assert destination(6).of(six, six).partition == 3
    assert destination(6).of(four, four).partition == partition_of("murmur2", USER.encode(), 6) != 3


def test_its_own_time_counts_before_that_of_its_refusal() -> None:
    assert destination().of(LETTER, LETTER).came == 1000
    assert destination().of(replace(LETTER, source_ms=900), LETTER).came == 900


def test_those_of_a_partition_keep_their_order_whatever_their_clocks_say() -> None:
    to = destination()
    times = [(3, 5000), (3, 4000), (2, 4500), (3, 6000)]
    came = [
        to.of(one, one).came
        for one in (replace(LETTER, source=Place(at, 0), refused_ms=time) for at, time in times)
    ]

    assert came == [5000, 5000, 4500, 6000]
