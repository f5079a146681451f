"""What of a user's past a rule asks for, and how much may be kept of it."""

from collections.abc import Collection

import msgspec


class Feature(msgspec.Struct, frozen=True):
    """One number over what a user did before, in the transaction's currency."""

    function: str
    window: int = 0
    """How far it looks back, in seconds; 0: as far as anything is kept."""
    field: str = ""
    """Of which values, where it is of one."""


FINE, HOUR, DAY = STEPS = (300, 3_600, 86_400)
"""Seconds: windows of up to an hour slide by the first, up to 24 hours by the second, others by the third."""
FIELDS = ("merchant_id", "card_id", "country", "channel")
"""Whose values may be counted."""
LONGEST = 90 * DAY
MOST_VALUES = 64
"""How many values of a field are told apart: those seen last."""
AHEAD = DAY
"""How far ahead of its record a date may be. As much is kept beyond a window, so that what is on time finds
all of its window whatever came before it."""
MOST_MORE_STEPS = 24
"""How many steps that have something are kept beyond those of a window."""

_HEAD, _ROW, _LARGEST, _HASH, _BITMAPS = 58, 16, 12, 4, (38, 8, 12)


def tier_of(window: int) -> int:
    """Which of `STEPS` a window slides in.

    >>> tier_of(3600), tier_of(7200), tier_of(7 * DAY)
    (0, 1, 2)
    """
    return 0 if window <= HOUR else 1 if window <= DAY else 2


def longest_steps(features: Collection[Feature]) -> dict[int, int]:
    """The tiers that are needed, each with how many of its steps the longest window has."""
    longest: dict[int, int] = {}
    for feature in features:
        if feature.window:
            tier = tier_of(feature.window)
            longest[tier] = max(longest.get(tier, 0), feature.window // STEPS[tier])
    return longest


def most_bytes(features: Collection[Feature]) -> int:
    """How many bytes their state can have for a user in a currency, whatever that user does.

    >>> most_bytes([Feature("count", HOUR), Feature("sum", DAY), Feature("mean", 30 * DAY)])
    1956
    """
    most = _HEAD
    for tier, steps in longest_steps(features).items():
        its = [one for one in features if one.window and tier_of(one.window) == tier]
        functions = {one.function for one in its}
        row = _ROW * bool(functions & {"count", "sum", "mean"}) + _LARGEST * ("max" in functions)
        fields = {one.field for one in its if one.field}
        rows = min(steps + MOST_MORE_STEPS, steps + AHEAD // STEPS[tier])
        most += _BITMAPS[tier] + (row + len(fields)) * rows + len(fields) * _HASH * MOST_VALUES
    return most + len({one.field for one in features if not one.window and one.field}) * (
        1 + _HASH * MOST_VALUES
    )
