"""What a page costs Postgres alone: our statements against the old way's, by their execution time."""

from statistics import median
from typing import Any

import asyncpg
import msgspec

from api.reading.cursors import RowKey
from api.reading.statements import page_statement, rows_statement
from benchmarks.range_rows import FILTERS, FROM, LIMIT, ROWS, TO, USER, USERS

EXPLAINED = 50
OLD_ROWS = """
SELECT id, user_id, amount, currency, txn_date, status, meta_data FROM old_transactions AS t
WHERE t.user_id = $1 AND t.txn_date >= $2 AND t.txn_date <= $3{after}
ORDER BY t.txn_date DESC, t.id LIMIT $4"""
# As ORMs put it; ours has the bound that it implies, which an index scan can start at.
OLD_AFTER = " AND (t.txn_date < $5 OR (t.txn_date = $5 AND t.id > $6))"
EXPLAIN = "EXPLAIN (ANALYZE, SERIALIZE TEXT, TIMING OFF, FORMAT JSON)"
EXPLAINED_HOW = (
    f"Execution time by {EXPLAIN}, so that turning rows into text is in it on both sides; same rows, same "
    "order. The first page's plan on the old index is an incremental sort of few rows, which is no dearer; "
    "further pages are where the old way reads all that came before."
)


async def executed(url: str) -> dict[str, float]:
    """Median milliseconds of each statement in Postgres, in turn."""
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        statements = await _statements(connection)
        took: dict[str, list[float]] = {name: [] for name in statements}
        for _ in range(EXPLAINED):
            for name, (statement, values) in statements.items():
                plan = await connection.fetchval(f"{EXPLAIN} {statement}", *values)
                took[name].append(msgspec.json.decode(plan)[0]["Execution Time"])
    finally:
        await connection.close()
    return {name: median(each) for name, each in took.items()}


async def _statements(connection: asyncpg.Connection) -> dict[str, tuple[str, list[Any]]]:
    """The first page and the one in the middle: ours as JSON, ours as rows, the old way's rows."""
    everything, values = rows_statement(
        "t.txn_date, t.id::text, t.user_id::text", FILTERS, None, ROWS // USERS // 2
    )
    middle = RowKey(*(await connection.fetch(everything, *values))[-1])
    return {
        f"{name} {what}": statement
        for what, after in (("first", None), ("middle", middle))
        for name, statement in {
            "JSON": page_statement(FILTERS, after, LIMIT),
            "rows": rows_statement("t.*", FILTERS, after, LIMIT),
            "old": _old_statement(after),
        }.items()
    }


def _old_statement(after: RowKey | None) -> tuple[str, list[Any]]:
    values = [USER, FROM, TO, LIMIT]
    if after is None:
        return OLD_ROWS.format(after=""), values
    return OLD_ROWS.format(after=OLD_AFTER), [*values, after.txn_date, after.id]
