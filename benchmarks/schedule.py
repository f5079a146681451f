"""When an open-loop producer is to send what: fixed beforehand, whatever the system under test does.

Latency counts from these times. A producer that waits for a slow system, and only then takes the time,
leaves out the very delays that matter ("coordinated omission").
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from benchmarks.bed import PARTITIONS

PROBES = 20
CROWD = 1000
PROBED_EACH_SECOND = 200
TAIL = "-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rate` transactions a second for `seconds`; every so many of them is of a probe, a user listened to."""

    rate: int
    seconds: float

    @property
    def count(self) -> int:
        """How many in all."""
        return int(self.rate * self.seconds)

    def due(self, number: int) -> float:
        """Seconds from the start to when transaction `number` is to be sent."""
        return number / self.rate

    def due_by(self, elapsed: float) -> int:
        """How many are due so many seconds after the start."""
        return min(self.count, math.floor(elapsed * self.rate + 1e-9) + 1)

    def is_probe(self, number: int) -> bool:
        """Whether it is of a user listened to."""
        return number % self._stride == 0

    def user(self, number: int) -> str:
        """Whose it is: the probes by turns, the others by turns."""
        if self.is_probe(number):
            return user_id(number // self._stride % PROBES)
        return user_id(PROBES + number % CROWD)

    def sent_to(self, partition: int) -> Iterator[int]:
        """The numbers that go to a partition, in their order."""
        return (number for number in range(self.count) if HOMES[self.user(number)] == partition)

    @property
    def _stride(self) -> int:
        return max(1, self.rate // PROBED_EACH_SECOND)


def user_id(number: int) -> str:
    """A user's id."""
    return f"{number:08x}-0000-4000-9000-000000000000"


def transaction_id(number: int) -> str:
    """The id of transaction `number`.

    >>> number_of(transaction_id(70_000))
    70000
    """
    return f"{number:08x}{TAIL}"


def number_of(identity: str) -> int | None:
    """The number in an id of `transaction_id`, None for any other id."""
    return int(identity[:8], 16) if identity.endswith(TAIL) else None


def home(user: str) -> int:
    """The partition that a producer's default partitioner sends a user to."""
    return int((murmur2(user.encode()) & 0x7FFFFFFF) % PARTITIONS)


HOMES = {user: home(user) for user in map(user_id, range(PROBES + CROWD))}


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile of ascending values, None of none.

    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 99)
    (2, 4)
    """
    if not ordered:
        return None
    # Rounded, for 99.9 / 100 * 1000 is a little more than 999.
    rank = math.ceil(round(percent / 100 * len(ordered), 6))
    return ordered[max(0, rank - 1)]
