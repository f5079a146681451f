"""The rows of the query measurement: 150,000 of 10 users, in our table and in the old one."""

from datetime import UTC, datetime
from itertools import pairwise

import asyncpg

from api.reading.statements import Filters

ROWS, USERS = 150_000, 10
USER = "00000000-0000-4000-8000-000000000003"
FROM, TO = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
LIMIT = 100
FILTERS = Filters(user_id=USER, from_date=FROM, to_date=TO)
_MONTHS = ("2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01")

# The old system's, as SQLModel makes it (peers/old_api.py).
_OLD = """
CREATE TABLE old_transactions (
    id uuid PRIMARY KEY, user_id uuid NOT NULL, amount numeric(20, 2) NOT NULL, currency varchar(3) NOT NULL,
    txn_date timestamptz NOT NULL, status varchar(32) NOT NULL, meta_data json NOT NULL
);
CREATE INDEX old_transactions_range ON old_transactions (user_id, txn_date, amount, id);
"""
_COPY = """
INSERT INTO old_transactions
SELECT id, user_id, amount, currency, txn_date, status, meta_data FROM transactions ORDER BY txn_date
"""

# In the order of time, the users in turn: as they arrive.
_FILL = f"""
INSERT INTO transactions
SELECT md5(n::text)::uuid, ('00000000-0000-4000-8000-' || lpad((n % {USERS})::text, 12, '0'))::uuid,
       (n * 7919 % 1000000) / 100.0, 'INR', timestamptz '2026-01-01 00:00Z' + n * interval '51 seconds',
       'paid',
       CASE WHEN n % 50 = 0
            THEN jsonb_build_object('is_anomaly', true, 'detector', 'rolling_mean', 'mean', '812.40',
                                    'window', 20, 'ratio', 6.15, 'threshold', '4062.00')
            ELSE jsonb_build_object('is_anomaly', false, 'channel', 'web') END
FROM generate_series(1, {ROWS}) AS n
"""  # noqa: S608 - ours


async def fill(url: str) -> None:
    """Both tables with the same rows, indexed and analysed."""
    connection = await asyncpg.connect(url)
    try:
        for first, next_first in pairwise(_MONTHS):
            name = f"transactions_{first[:4]}_{first[5:7]}"
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF transactions"
                f" FOR VALUES FROM ('{first}Z') TO ('{next_first}Z')"
            )
        await connection.execute(_FILL)
        await connection.execute(_OLD)
        await connection.execute(_COPY)
        for table in ("transactions", "old_transactions"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()
