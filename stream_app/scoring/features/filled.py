"""Two pasts of a user made one: some parts were kept, others are filled from rows."""

from collections.abc import Collection, Mapping, Sequence

from schemas.rules.features import MOST_VALUES, STEPS
from stream_app.scoring.features.layout import AMOUNTS, DISTINCT, LARGEST, Part, Tier
from stream_app.scoring.features.packing import BITMAP_BYTES
from stream_app.scoring.features.past import Bucket, Past

_NOTHING = Bucket()


def filled_past(had: Past, filled: Past, parts: Collection[Part], tiers: Collection[Tier]) -> Past:
    """These parts, as far back as their tiers are filled, from the second; all else from the first."""
    past = Past(max(had.newest, filled.newest))
    since = {tier.number: _oldest(filled, past.newest, tier) for tier in tiers}
    for tier in {*had.tiers, *filled.tiers}:
        oldest = past.newest // STEPS[tier] - 8 * BITMAP_BYTES[tier] + 1
        kinds = {part.kind for part in parts if part.tier == tier}
        its = _buckets(had.tiers.get(tier, {}), filled.tiers.get(tier, {}), kinds, since.get(tier, 0))
        past.tiers[tier] = {step: one for step, one in its.items() if step >= oldest}
    for part in {*had.values, *filled.values}:
        values = had.values.get(part, [])
        if part in parts:
            older = values if part.kind == DISTINCT else []
            values = _with_older(filled.values.get(part, []), older, since.get(part.tier, 0))
        if part.kind == DISTINCT:
            values = [one for one in values if one[1] in past.tiers[part.tier]]
        past.values[part] = [*values]
    return past


def _oldest(filled: Past, newest: int, tier: Tier) -> int:
    """The step from which on rows have filled the tier; what others need of it may reach further back."""
    steps, oldest = sorted(filled.tiers.get(tier.number, {})), newest // tier.step - tier.reach + 1
    return oldest if len(steps) < tier.most else max(oldest, steps[-tier.most])


def _buckets(
    had: Mapping[int, Bucket], filled: Mapping[int, Bucket], kinds: Collection[int], since: int
) -> dict[int, Bucket]:
    """Each step's amounts, and the largest, from where they are to be taken."""
    found = {}
    for step in {*had, *filled}:
        its = kinds if step >= since else ()
        counted = (filled if AMOUNTS in its else had).get(step, _NOTHING)
        largest = (filled if LARGEST in its else had).get(step, _NOTHING).largest
        found[step] = Bucket(counted.count, counted.total, largest)
    return found


def _with_older(
    values: Sequence[tuple[bytes, int]], had: Sequence[tuple[bytes, int]], since: int
) -> list[tuple[bytes, int]]:
    """Values, newest first, and behind them those of before that have not come again."""
    known = {value for value, _ in values}
    return [*values, *(one for one in had if one[1] < since and one[0] not in known)][:MOST_VALUES]
