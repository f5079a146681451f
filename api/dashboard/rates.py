"""From offsets and flags to rates and lag: arithmetic alone."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from schemas.text import Moment, Uuid


class Produced(msgspec.Struct, frozen=True):
    """When the producer wrote a flagged transaction, by its record's timestamp."""

    id: Uuid
    txn_date: Moment
    user_id: Uuid
    at: int


class Sample(msgspec.Struct, frozen=True):
    """What happened per second from the sample before this one until `at`.

    `arrived` and `scored` count messages by the source topic's offsets; `scored` is None for the
    time before this process looked. `produced` is of one flag of that time, if there was one.
    """

    at: int
    arrived: float
    scored: float | None
    flagged: float
    refused: float
    produced: Produced | None = None


class Lag(msgspec.Struct, frozen=True):
    """One partition of the source: `lag` is how many offsets can be read and are not finished.

    `held_back` is how many cannot be read, because of a transaction that has been open since `held_since`.
    """

    partition: int
    end: int
    committed: int
    lag: int
    held_back: int = 0
    held_since: int | None = None


class Held(NamedTuple):
    """What an open transaction holds back of a partition, and since when, as far as is known."""

    offsets: int
    since: int


def lags(
    ends: Mapping[int, int],
    committed: Mapping[int, int],
    beginnings: Mapping[int, int],
    held: Mapping[int, Held] = MappingProxyType({}),
) -> list[Lag]:
    """Where each partition is; one that nothing was finished of lags by all that it holds."""
    done = {number: max(committed.get(number, 0), beginnings.get(number, 0)) for number in ends}
    return [
        Lag(number, end, done[number], max(end - done[number], 0), *held.get(number, ()))
        for number, end in sorted(ends.items())
    ]


class OpenTransactions:
    """Transactions that stay open longer than is usual."""

    def __init__(self, *, usual_ms: int) -> None:
        self._usual_ms = usual_ms
        self._seen: dict[int, tuple[int, int]] = {}

    def held(self, at: int, readable: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, Held]:
        """What is held back at this time, given up to where each partition can be read and where it ends."""
        before = self._seen
        beginnings = {number: offset for number, offset in readable.items() if offset < ends[number]}
        self._seen = {
            number: before[number] if before.get(number, (-1,))[0] == offset else (offset, at)
            for number, offset in beginnings.items()
        }
        return {
            number: Held(ends[number] - offset, since)
            for number, (offset, since) in self._seen.items()
            if at - since >= self._usual_ms
        }


class Rates:
    """The samples of the last minutes; the oldest fall out."""

    def __init__(self, *, samples: int) -> None:
        self._samples: deque[Sample] = deque(maxlen=samples)
        self._before: tuple[int, int, int | None] | None = None

    def note(
        self,
        at: int,
        arrived: int,
        scored: int | None,
        *,
        flagged: int,
        refused: int = 0,
        produced: Produced | None = None,
    ) -> None:
        """Take note of the totals so far; the first are what later ones are compared with.

        `arrived` and `scored` are sums of offsets, `flagged` and `refused` how many came since the last look.
        """
        before, self._before = self._before, (at, arrived, scored)
        if before is None or at <= before[0]:
            return
        seconds = (at - before[0]) / 1000
        self._samples.append(
            Sample(
                at=at,
                arrived=_rate(before[1], arrived, seconds),
                scored=None if scored is None or before[2] is None else _rate(before[2], scored, seconds),
                flagged=round(flagged / seconds, 2),
                refused=round(refused / seconds, 2),
                produced=produced,
            )
        )

    def after(self, at: int) -> Sequence[Sample]:
        """The samples later than this, oldest first."""
        return [sample for sample in self._samples if sample.at > at]


def _rate(before: int, after: int, seconds: float) -> float:
    return round(max(after - before, 0) / seconds, 2)


def per_step(timestamps: Counter[int], times: Sequence[int]) -> list[int]:
    """How many of the timestamps lie in each step between two times, the later one included.

    >>> per_step(Counter([1, 4, 5, 5, 9, 11]), [0, 5, 10])
    [4, 1]
    """
    counts = [0] * (len(times) + 1)
    for at, count in timestamps.items():
        counts[bisect_left(times, at)] += count
    return counts[1 : len(times)]
