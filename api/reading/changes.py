# ruff: noqa: S608 - all of the statements is this module's
"""Changes of rows in an order in which none is missed, also where transactions commit out of order.

A row has the number of the transaction that wrote it last. Of a snapshot Postgres says below which number
all transactions are over (`pg_snapshot_xmin`). Only changes below that are given out, in the order of the
numbers: none can come to stand before a place that was reached. A transaction that stays open holds back what
later ones wrote, and nothing is lost.

Where it is not known which transactions were over at the time that is asked for, as of rows from before there
was the column, all rows come first, by key, and then the changes since that walk began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.reading.cursors import ChangePlace, RowKey
from api.reading.statements import LABELLED, TIME

_KEY = "t.id, t.txn_date, t.user_id"
_OVER = "pg_snapshot_xmin(pg_current_snapshot())"

SINCE = f"""
SELECT coalesce(noted.below, {_OVER})::text::bigint, noted.below IS NULL
FROM (VALUES (true)) AS one
LEFT JOIN (SELECT below FROM change_times WHERE at <= $1 ORDER BY at DESC LIMIT 1) AS noted ON true
"""
"""Of a time: the first transaction that may not have been seen then, and whether all rows come first."""

# Of both, the values are the key of the row before, how many rows, and of changes that row's transaction.
_WALKED = f"""
SELECT t.* FROM transactions AS t
WHERE ({_KEY}) > ($1::uuid, $2::timestamptz, $3::uuid)
ORDER BY {_KEY} LIMIT $4"""
_FOLLOWED = f"""
SELECT t.* FROM transactions AS t
WHERE t.changed >= $5::text::xid8 AND t.changed < {_OVER}
    AND (t.changed, {_KEY}) > ($5::text::xid8, $1::uuid, $2::timestamptz, $3::uuid)
ORDER BY t.changed, {_KEY} LIMIT $4"""
# A key that is gone may have a row again, which has changed later then. Of a full page, up to its last row.
_GONE = f"""
SELECT string_agg(
    '{{"id":"' || t.id || '","user_id":"' || t.user_id || '","txn_date":"' || {TIME} || '"}}', ','
) FROM transactions_gone AS t
WHERE t.changed >= $5::text::xid8 AND t.changed < {_OVER}
    AND (page.count < $4 OR t.changed <= page.changed)
    AND NOT EXISTS (SELECT FROM transactions AS r WHERE (r.id, r.txn_date, r.user_id) = ({_KEY}))"""


def _page(rows: str, gone: str) -> str:
    """The statement of a page, which is one record."""
    return f"""
WITH page AS (
    SELECT string_agg({LABELLED}, ',') AS rows, count(*), (array_agg(t.changed))[count(*)] AS changed,
           (array_agg(t.txn_date))[count(*)] AS txn_date, (array_agg(t.id::text))[count(*)] AS id,
           (array_agg(t.user_id::text))[count(*)] AS user_id
    FROM ({rows}) AS t
)
SELECT page.rows, ({gone}), page.count, page.changed::text::bigint, page.txn_date, page.id, page.user_id,
       {_OVER}::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM page"""


_WALK, _FOLLOW = _page(_WALKED, "NULL::text"), _page(_FOLLOWED, _GONE)


class AheadError(ValueError):
    """The place is of transactions that this database has not had."""


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """Rows, and keys that have none any more, each as JSON texts with commas between."""

    rows: str
    gone: str
    place: ChangePlace
    """Where it goes on."""
    more: bool
    """Whether more is there already."""


def changes_statement(place: ChangePlace, limit: int) -> tuple[str, list[Any]]:
    """The statement of the next page, which is one record, and the values to bind."""
    values = [place.key.id, place.key.txn_date, place.key.user_id, limit]
    return (_WALK, values) if place.walking else (_FOLLOW, [*values, str(place.transaction)])


def changed_rows(record: Sequence[Any], place: ChangePlace, limit: int) -> ChangedRows:
    """The page that this record is, after the place that was asked for.

    Raises:
        AheadError: The database has been set back since the place was given out.
    """
    rows, gone, count, changed, *last, over, ahead = record
    if place.transaction > ahead:
        raise AheadError("is ahead of this database, which was restored since: begin again, without it")
    if full := count == limit:
        following = ChangePlace(place.transaction if place.walking else changed, RowKey(*last), place.walking)
    else:
        following = ChangePlace(place.transaction if place.walking else over)
    return ChangedRows(rows or "", gone or "", following, full or place.walking)
