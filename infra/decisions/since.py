"""Since when features have seen everything: from when they were first asked for, or as far as rows reach."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from infra.decisions.history import Connection
from schemas.decision import RULE_OFF, WARM
from schemas.rules.features import Feature
from schemas.rules.kept import KeptSince, NamedFeatures, feature_text, sets_of
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import RuleSpec
from schemas.rules.warming import Warming

_SETS = """
SELECT seq, kind, (CASE kind WHEN 'rules' THEN coalesce(body -> 'rules', '[]') ELSE body END)::text AS body
FROM decisions WHERE kind IN ('rules', 'rule_off', 'warm') AND seq < $1 ORDER BY seq DESC LIMIT 20
"""
_STARTS = """
SELECT seq, app_id, partition, from_offset, at
FROM decisions_applied JOIN sink_offsets USING (app_id, topic, partition)
WHERE topic = $1 AND seq = ANY($2) AND epoch > 0 ORDER BY app_id, partition
"""
_END = (1 << 63) - 1
_MINUTE = "%Y-%m-%d %H:%M"
_Filling = tuple[int, Warming]


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
    """The decision that first asked for what it is read from, or filled it."""
    since: datetime | None
    """When the last partition began to keep it, null until one does; if it was filled, the date of rows."""
    whole: datetime | None
    """From when on its window has nothing that came before that; null where it has no window."""
    from_rows: bool
    """Whether it was filled from rows."""
    partitions: Sequence[Start]

    @property
    def sentence(self) -> str:
        """The same in words."""
        if self.since is None:
            return f"{self.feature} sees everything from when decision {self.decision} holds on"
        if not (self.from_rows or any(one.from_offset for one in self.partitions)):
            return f"{self.feature} has seen everything"
        whole = f", and all of its window from {self.whole:{_MINUTE}} on" if self.whole else ""
        by = f"decision {self.decision}{', from rows' if self.from_rows else ''}"
        since = f"{self.since:{_MINUTE}} UTC on ({by})"
        return f"{self.feature} sees everything from {since}{whole}"


async def features_since(connection: Connection, topic: str, seq: int) -> dict[Feature, FeatureSince]:
    """Since when the features of the rule set of this decision have seen everything, as far as is known."""
    kept, filled = await _kept(connection, seq)
    by = kept.since | kept.filled
    rows = await connection.fetch(_STARTS, topic, [*{*by.values()}])
    found = {}
    for feature in sorted(by, key=feature_text):
        starts = [_start(row) for row in rows if row["seq"] == by[feature]]
        date = filled[by[feature]] if feature in kept.filled else None
        found[feature] = _since(feature, by[feature], starts, date)
    return found


def _start(row: asyncpg.Record) -> Start:
    return Start(row["app_id"], row["partition"], row["from_offset"], row["at"])


def _since(feature: Feature, decision: int, starts: Sequence[Start], filled: datetime | None) -> FeatureSince:
    since = filled or max((one.at for one in starts), default=None)
    whole = since + timedelta(seconds=feature.window) if since and feature.window else None
    return FeatureSince(feature_text(feature), decision, since, whole, filled is not None, starts)


async def _kept(connection: Connection, seq: int) -> tuple[KeptSince, dict[int, datetime]]:
    """The features followed back, and since when rows count by each decision that filled some."""
    kept, dates = KeptSince((seq, ())), dict[int, datetime]()
    is_first = True
    async for one, fillings in _sets(connection, seq):
        if is_first:
            kept, is_first = KeptSince(one), False
        goes_on = kept.follow(one)
        for number, filling in fillings:
            kept.fill((number, filling.features))
            dates[number] = filling.since
        if not goes_on:
            break
    return kept, dates


async def _sets(connection: Connection, seq: int) -> AsyncIterator[tuple[NamedFeatures, Sequence[_Filling]]]:
    """What was asked for, newest first, from what holds since the decision on; and what was filled then."""
    before, off, fillings = _END, list[tuple[int, RuleOff]](), list[_Filling]()
    while rows := await connection.fetch(_SETS, before):
        before = rows[-1]["seq"]
        for row in rows:
            number, body = row["seq"], row["body"]
            if row["kind"] == RULE_OFF:
                off.append((number, msgspec.json.decode(body, type=RuleOff)))
            elif row["kind"] == WARM:
                fillings.append((number, msgspec.json.decode(body, type=Warming)))
            else:
                if number <= seq:
                    for one in _sets_of(number, body, off):
                        yield one, fillings
                        fillings = []
                off, fillings = [], []


def _sets_of(seq: int, body: str, off: Sequence[tuple[int, RuleOff]]) -> Iterator[NamedFeatures]:
    its = [(number, one.rule) for number, one in off if one.rule_set == seq]
    return sets_of(seq, msgspec.json.decode(body, type=list[RuleSpec]), its)
