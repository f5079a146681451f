"""What is kept of a user in a currency, taken apart: any feature is read from it, at any time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from zlib import crc32

import msgspec

from schemas.rules.features import DAY, HOUR, MOST_VALUES, STEPS, Feature, tier_of
from stream_app.scoring.features.layout import DISTINCT, SEEN, Part, Tier

EPOCH = datetime(1, 1, 1, tzinfo=UTC)

Value = int | Fraction | None
"""A feature's; money in hundredths, None where it is absent."""


class Bucket(msgspec.Struct, gc=False):
    """What there was in one step."""

    count: int = 0
    total: int = 0
    largest: int = -1
    """-1: not known, as it was not asked for yet."""


def seconds_of(date: datetime) -> int:
    """Whole seconds since the start of year 1."""
    since = date - EPOCH
    return since.days * DAY + since.seconds


def hash_of(value: str | None) -> bytes:
    """Four bytes that stand for a value, the same in every process; none for none."""
    return b"" if value is None else crc32(value.encode()).to_bytes(4, "little")


class Past(msgspec.Struct):
    """Everything that is kept."""

    newest: int = -1
    """Seconds since year 1; -1: there is nothing yet."""
    tiers: dict[int, dict[int, Bucket]] = msgspec.field(default_factory=dict)
    """By step, those that have something."""
    values: dict[Part, list[tuple[bytes, int]]] = msgspec.field(default_factory=dict)
    """Hashes, each with the step in which its value came last (0 where that is not asked), newest first."""

    def read(self, feature: Feature, at: int, hashes: Mapping[str, bytes]) -> Value:
        """The feature of a transaction at this time, with these hashes of its fields' values."""
        if feature.function == "hours_since_last":
            return None if self.newest < 0 else max(at - self.newest, 0) // HOUR
        if feature.function == "first_seen":
            known = self.values.get(Part(SEEN, 0, feature.field), ())
            return (wanted := hashes[feature.field]) != b"" and (wanted, 0) not in known
        tier = tier_of(feature.window)
        last = at // STEPS[tier]
        first = last - feature.window // STEPS[tier] + 1
        if feature.function == "distinct":
            its = self.values.get(Part(DISTINCT, tier, feature.field), ())
            return sum(first <= step <= last for _, step in its)
        buckets = self.tiers.get(tier, {})
        return _of(feature.function, [one for step, one in buckets.items() if first <= step <= last])

    def add(self, at: int, amount: int, hashes: Mapping[str, bytes], tiers: Sequence[Tier]) -> None:
        """Take a transaction in."""
        self.newest = max(self.newest, at)
        for tier in tiers:
            self._add_amount(tier, at // tier.step, amount)
        self._trim(tiers)
        for part, values in self.values.items():
            if not (value := hashes[part.field]):
                continue
            if part.kind == SEEN:
                _move(values, value, 0)
            elif (step := at // STEPS[part.tier]) in self.tiers[part.tier]:
                _move(values, value, step)

    def _trim(self, tiers: Sequence[Tier]) -> None:
        """Leave out steps that are too long ago or too many, with the values that came last in them."""
        for tier in tiers:
            buckets = self.tiers[tier.number]
            kept = sorted(buckets)[-tier.most :]
            oldest = max([*kept[:1], self.newest // tier.step - tier.reach + 1])
            for step in [one for one in buckets if one < oldest]:
                del buckets[step]
        for part, values in self.values.items():
            if part.kind == DISTINCT:
                values[:] = [one for one in values if one[1] in self.tiers[part.tier]]

    def _add_amount(self, tier: Tier, step: int, amount: int) -> None:
        bucket = self.tiers[tier.number].setdefault(step, Bucket())
        bucket.count += 1
        bucket.total += amount
        bucket.largest = max(bucket.largest, amount)


def _of(function: str, buckets: Sequence[Bucket]) -> Value:
    count = sum(one.count for one in buckets)
    if function == "count":
        return count
    if function == "max":
        largest = max((one.largest for one in buckets), default=-1)
        return None if largest < 0 else largest
    total = sum(one.total for one in buckets)
    if function == "sum":
        return total
    return Fraction(total, count) if count else None


def _move(values: list[tuple[bytes, int]], value: bytes, step: int) -> None:
    """Note that a value came in a step; the one that came longest ago gives way to a new one."""
    former = next((one for one in values if one[0] == value), None)
    if former:
        if former[1] > step:
            return
        values.remove(former)
    place = next((place for place, one in enumerate(values) if one[1] <= step), len(values))
    values.insert(place, (value, step))
    del values[MOST_VALUES:]
