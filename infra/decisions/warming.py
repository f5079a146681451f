"""Features filled from rows: how far they reach, and which features gain by it."""

from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import msgspec

from infra.decisions.since import FeatureSince, features_since
from schemas.rules.features import AHEAD, LONGEST, Feature
from schemas.rules.warming import Warming

# Months that have rows, by their beginnings, as months are dropped as a whole; and what has no month.
_REACH = """
SELECT min(oldest) AS oldest, max(newest) AS newest FROM (
    SELECT starts AS oldest, starts AS newest FROM transactions_months AS month
    WHERE EXISTS (SELECT FROM transactions WHERE txn_date >= month.starts AND txn_date < month.ends)
    UNION ALL SELECT min(txn_date), max(txn_date) FROM transactions_default
) AS each
"""


class RowsReach(NamedTuple):
    """How far rows go back."""

    oldest: datetime
    newest: datetime


async def warming_for(connection: asyncpg.Connection, topic: str, seq: int) -> Warming | None:
    """What is to be filled for the rule set of this decision; None where there is nothing, or no row."""
    found = await connection.fetchrow(_REACH)
    if found is None or found["oldest"] is None:
        return None
    known, reach = await features_since(connection, topic, seq), RowsReach(*found)
    features = [feature for feature, one in known.items() if _gains(feature, one, reach)]
    if not features:
        return None
    return Warming(features, min(_since(feature, reach) for feature in features))


def _gains(feature: Feature, known: FeatureSince, reach: RowsReach) -> bool:
    """Whether rows say more than what was seen."""
    if known.since is None:
        return True
    has_all = not known.from_rows and not any(one.from_offset for one in known.partitions)
    return not has_all and known.since > _since(feature, reach)


def _since(feature: Feature, reach: RowsReach) -> datetime:
    """The date that is far enough back for the newest rows; without a window, that of the longest is."""
    return max(reach.oldest, reach.newest - timedelta(seconds=(feature.window or LONGEST) + AHEAD))


def body_of(warming: Warming) -> dict[str, object]:
    """The decision's body."""
    body: dict[str, object] = msgspec.to_builtins(warming)
    return body
