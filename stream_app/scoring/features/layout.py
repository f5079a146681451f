"""Which parts the state has that a set of features needs, and in which order."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from schemas.rules.features import AHEAD, FIELDS, MOST_MORE_STEPS, STEPS, Feature, longest_steps, tier_of

AMOUNTS, LARGEST, DISTINCT, SEEN = range(4)
"""Kinds of parts: how many and how much, the largest, values with when they came last, values alone."""
_KINDS = {"count": AMOUNTS, "sum": AMOUNTS, "mean": AMOUNTS, "max": LARGEST, "distinct": DISTINCT}


class Part(NamedTuple):
    """What is kept for one feature or several, as a number below 256 in a state's head."""

    kind: int
    tier: int = 0
    field: str = ""

    @property
    def code(self) -> int:
        """The number."""
        return self.kind << 6 | self.tier << 4 | (FIELDS.index(self.field) if self.field else 0)


class Tier(NamedTuple):
    """Steps of one length."""

    number: int
    step: int
    """Seconds."""
    reach: int
    """How many steps are kept, with that of the newest time, if they have something."""
    most: int
    """How many that have something are kept."""


def part_of(feature: Feature) -> Part | None:
    """Where a feature is read; None where the head is enough.

    Raises:
        KeyError: There is no such function.
    """
    if feature.function == "hours_since_last":
        return None
    if feature.function == "first_seen":
        return Part(SEEN, 0, feature.field)
    return Part(_KINDS[feature.function], tier_of(feature.window), feature.field)


def part_of_code(code: int) -> Part:
    """The part that a state's head names.

    Raises:
        ValueError: It is none.
    """
    part = Part(code >> 6, code >> 4 & 3, FIELDS[code & 3] if code >> 6 in (DISTINCT, SEEN) else "")
    if part.code != code or part.tier >= len(STEPS):
        raise ValueError("the state of a feature names a part that there is not")
    return part


def parts_of(needed: Collection[Feature]) -> list[Part]:
    """All that is kept for these, in order."""
    return in_order(part for part in map(part_of, needed) if part)


def in_order(parts: Iterable[Part]) -> list[Part]:
    """These as the bytes have them: tier by tier, values alone at the end."""
    return sorted({*parts}, key=lambda part: (part.kind == SEEN, part.tier, part.kind, part.code))


def tiers_of(needed: Collection[Feature]) -> list[Tier]:
    """The tiers that are needed, finest first."""
    return [
        Tier(number, STEPS[number], steps + AHEAD // STEPS[number], steps + MOST_MORE_STEPS)
        for number, steps in sorted(longest_steps(needed).items())
    ]


def tiers_in(parts: Sequence[Part]) -> list[int]:
    """The numbers of the tiers that these parts are of, finest first."""
    return sorted({part.tier for part in parts if part.kind != SEEN})
