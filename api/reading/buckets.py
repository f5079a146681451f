# ruff: noqa: S608 - all of the statements is this module's
"""Counts, sums and flags by hour or day and currency: of all users from hours kept beside the rows."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.reading.statements import FLAGGED

MOST_BUCKETS = 10_000
"""Of one answer; each currency has its own: of one, 400 days of hours or 27 years of days."""
UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}

_OF_ALL = "SELECT hour AS at, currency, count, sum, flagged FROM transaction_hours WHERE hour"
_OF_USER = f"""
SELECT t.txn_date AS at, t.currency, 1 AS count, t.amount AS sum, ({FLAGGED} IS TRUE)::int AS flagged
FROM transactions AS t WHERE t.user_id = $5 AND t.txn_date"""
_BUCKETS = """
SELECT coalesce(string_agg(line, ','), ''), count(*) FROM (
    SELECT '{"start":"' || to_char(date_trunc($1, at, 'UTC'), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        || '","currency":' || to_json(currency) || ',"count":' || sum(count) || ',"sum":"' || sum(sum)
        || '","flagged":' || sum(flagged) || '}' AS line
    FROM (@rows >= $2 AND @rows_end < coalesce($3::timestamptz, 'infinity')) AS rows
    WHERE currency = $4::text OR $4 IS NULL
    GROUP BY date_trunc($1, at, 'UTC'), currency
    HAVING sum(count) > 0
    ORDER BY date_trunc($1, at, 'UTC'), currency
    LIMIT @limit
) AS buckets"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Whole buckets in UTC: from the one that the first date is in to the one that the last is in."""

    every: str
    """A name in UNITS."""
    from_date: datetime
    to_date: datetime | None
    currency: str | None
    user_id: str | None


def buckets_statement(asked: Buckets) -> tuple[str, list[Any]]:
    """The statement of at most one more than MOST_BUCKETS as JSON, and how many; and the values to bind."""
    column, rows = ("t.txn_date", _OF_USER) if asked.user_id else ("hour", _OF_ALL)
    text = _BUCKETS.replace("@rows_end", column).replace("@rows", rows)
    values = [asked.every, _start(asked.from_date, asked.every), _end(asked), asked.currency]
    if asked.user_id:
        values.append(asked.user_id)
    return text.replace("@limit", str(MOST_BUCKETS + 1)), values


def _start(moment: datetime, every: str) -> datetime:
    """Of the bucket that a moment is in."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if every == "hour" else hour.replace(hour=0)


def _end(asked: Buckets) -> datetime | None:
    if asked.to_date is None:
        return None
    try:
        return _start(asked.to_date, asked.every) + UNITS[asked.every]
    except OverflowError:
        return None
