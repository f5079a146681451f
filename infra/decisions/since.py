"""Since when features have seen everything: from the decision on that first asked for them, by partition."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from infra.decisions.history import Connection
from schemas.decision import RULES
from schemas.rules.features import Feature
from schemas.rules.kept import KeptSince, NamedFeatures, feature_text, sets_of
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import RuleSpec

_SETS = """
SELECT seq, kind, (CASE kind WHEN 'rules' THEN coalesce(body -> 'rules', '[]') ELSE body END)::text AS body
FROM decisions WHERE kind IN ('rules', 'rule_off') AND seq < $1 ORDER BY seq DESC LIMIT 20
"""
_STARTS = """
SELECT seq, app_id, partition, from_offset, at
FROM decisions_applied JOIN sink_offsets USING (app_id, topic, partition)
WHERE topic = $1 AND seq = ANY($2) AND epoch > 0 ORDER BY app_id, partition
"""
_END = (1 << 63) - 1
_MINUTE = "%Y-%m-%d %H:%M"


class Start(msgspec.Struct, frozen=True):
    """From where on a partition has kept a feature."""

    app_id: str
    partition: int
    from_offset: int
    at: datetime
    """When it began to."""


class FeatureSince(msgspec.Struct, frozen=True):
    """Since when a feature has seen everything."""

    feature: str
    """As rules name it."""
    decision: int
    """The decision that first asked for what it is read from."""
    since: datetime | None
    """When the last partition began to keep it; null until one does."""
    whole: datetime | None
    """From when on its window has nothing that came before that; null where it has no window."""
    partitions: Sequence[Start]

    @property
    def sentence(self) -> str:
        """The same in words."""
        if self.since is None:
            return f"{self.feature} sees everything from when decision {self.decision} holds on"
        if not any(one.from_offset for one in self.partitions):
            return f"{self.feature} has seen everything"
        whole = f", and all of its window from {self.whole:{_MINUTE}} on" if self.whole else ""
        since = f"{self.since:{_MINUTE}} UTC on (decision {self.decision})"
        return f"{self.feature} sees everything from {since}{whole}"


async def features_since(connection: Connection, topic: str, seq: int) -> list[FeatureSince]:
    """Since when the features of the rule set of this decision have seen everything, as far as is known."""
    kept = await _kept_since(connection, seq)
    rows = await connection.fetch(_STARTS, topic, [*{*kept.values()}])
    starts = {one: [row for row in rows if row["seq"] == since] for one, since in kept.items()}
    return [_since(one, kept[one], starts[one]) for one in sorted(kept, key=feature_text)]


def _since(feature: Feature, decision: int, rows: Collection[asyncpg.Record]) -> FeatureSince:
    starts = [Start(row["app_id"], row["partition"], row["from_offset"], row["at"]) for row in rows]
    since = max((one.at for one in starts), default=None)
    whole = since + timedelta(seconds=feature.window) if since and feature.window else None
    return FeatureSince(feature_text(feature), decision, since, whole, starts)


async def _kept_since(connection: Connection, seq: int) -> dict[Feature, int]:
    kept: KeptSince | None = None
    async for one in _sets(connection, seq):
        if kept is None:
            kept = KeptSince(one)
        elif not kept.follow(one):
            break
    return kept.since if kept else {}


async def _sets(connection: Connection, seq: int) -> AsyncIterator[NamedFeatures]:
    """What was asked for, newest first, from what holds since the decision on."""
    before, off = _END, list[tuple[int, RuleOff]]()
    while rows := await connection.fetch(_SETS, before):
        before = rows[-1]["seq"]
        for row in rows:
            if row["kind"] != RULES:
                off.append((row["seq"], msgspec.json.decode(row["body"], type=RuleOff)))
                continue
            its = [(number, one.rule) for number, one in off if one.rule_set == row["seq"]]
            if row["seq"] <= seq:
                for one in sets_of(row["seq"], msgspec.json.decode(row["body"], type=list[RuleSpec]), its):
                    yield one
            off.clear()
