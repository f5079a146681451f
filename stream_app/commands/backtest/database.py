"""`--from-db`: the rows of Postgres as history, in the order of their dates.

That is not the order in which they arrived, and a row has its newest content: where transactions came late or
were revised, the verdicts may be others than the worker gave.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from infra.database import check_database, rights
from infra.produce.labels import Label
from infra.runtime.postgres import SESSION
from schemas.strict_json import exact_number
from schemas.transaction import Transaction
from stream_app.commands.backtest.rows import Piece
from stream_app.detectors import verdict_names

_AT_ONCE = 5_000
_ROWS = """
SELECT * FROM transactions WHERE txn_date >= $1 AND txn_date < $2 ORDER BY txn_date, id, user_id
"""
_LABELLED = """
SELECT transactions.*, label, labelled.at AS known FROM transactions LEFT JOIN (
    SELECT DISTINCT ON (id, txn_date, user_id) id, txn_date, user_id, label, at FROM labels
    ORDER BY id, txn_date, user_id, seq DESC
) AS labelled USING (id, txn_date, user_id)
WHERE txn_date >= $1 AND txn_date < $2 ORDER BY txn_date, id, user_id
"""
_NEEDED = rights(["transactions", "labels"], ["SELECT"])
_SESSION = {**SESSION, "application_name": "txnwatch-backtest"}
_META = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number).decode
_OTHERS = frozenset(["unknown", "meta_data", "id", "user_id", "amount"])
_FIELDS = [name for name in Transaction.__struct_fields__ if name not in _OTHERS]


def rows_of(url: str, start: datetime, end: datetime, *, labelled: bool = False) -> Iterator[Piece]:
    """The rows from one time on and before another, read as they are asked for; with labels they were given.

    Raises:
        asyncpg.PostgresError: They cannot be read, or one of the other errors of
            `infra.runtime.services.POSTGRES`.
    """
    names = verdict_names()
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url, server_settings=_SESSION))
        try:
            runner.run(check_database(connection, _NEEDED))
            runner.run(connection.execute("BEGIN TRANSACTION READ ONLY"))
            labelled = labelled and runner.run(connection.fetchval("SELECT EXISTS (SELECT FROM labels)"))
            cursor = runner.run(_cursor(connection, _LABELLED if labelled else _ROWS, start, end))
            while rows := runner.run(cursor.fetch(_AT_ONCE)):
                yield Piece([_transaction(row, names) for row in rows], *(_labels(rows) if labelled else ()))
        finally:
            runner.run(connection.close())


async def _cursor(connection: asyncpg.Connection, statement: str, start: datetime, end: datetime) -> Any:
    return await connection.cursor(statement, start, end)


def _labels(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Label], list[str], list[datetime | None]]:
    """Labels, no scenarios, and when each label was given."""
    labels = [None if row["label"] is None else row["label"] == "fraud" for row in rows]
    return labels, [], [row["known"] for row in rows]


def _transaction(row: Mapping[str, Any], verdict: frozenset[str]) -> Transaction:
    meta = {name: value for name, value in _META(row["meta_data"]).items() if name not in verdict}
    return Transaction(
        id=str(row["id"]),
        user_id=str(row["user_id"]),
        amount=int(row["amount"].scaleb(2)),
        meta_data=meta or None,
        **{name: row[name] for name in _FIELDS if name in row},
    )
