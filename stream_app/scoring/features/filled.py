"""Two pasts of a user made one: some parts were kept, others are filled from rows."""

from collections.abc import Collection, Mapping

from schemas.rules.features import STEPS
from stream_app.scoring.features.layout import AMOUNTS, DISTINCT, LARGEST, Part
from stream_app.scoring.features.packing import BITMAP_BYTES
from stream_app.scoring.features.past import Bucket, Past

_NOTHING = Bucket()


def filled_past(had: Past, filled: Past, parts: Collection[Part]) -> Past:
    """These parts from the second, all others from the first."""
    past = Past(max(had.newest, filled.newest))
    for tier in {*had.tiers, *filled.tiers}:
        oldest = past.newest // STEPS[tier] - 8 * BITMAP_BYTES[tier] + 1
        kinds = {part.kind for part in parts if part.tier == tier}
        its = _buckets(had.tiers.get(tier, {}), filled.tiers.get(tier, {}), kinds)
        past.tiers[tier] = {step: one for step, one in its.items() if step >= oldest}
    for part in {*had.values, *filled.values}:
        values = (filled if part in parts else had).values.get(part, [])
        if part.kind == DISTINCT:
            values = [one for one in values if one[1] in past.tiers[part.tier]]
        past.values[part] = [*values]
    return past


def _buckets(
    had: Mapping[int, Bucket], filled: Mapping[int, Bucket], kinds: Collection[int]
) -> dict[int, Bucket]:
    """Each step's amounts, and the largest, from where they are to be taken."""
    amounts, largest = filled if AMOUNTS in kinds else had, filled if LARGEST in kinds else had
    found = {}
    for step in {*had, *filled}:
        counted = amounts.get(step, _NOTHING)
        found[step] = Bucket(counted.count, counted.total, largest.get(step, _NOTHING).largest)
    return found
