"""The rows that a partition had at each point of a replay, from which decisions have features filled."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from schemas.transaction import Transaction
from stream_app.scoring import Verdict
from stream_app.scoring.filling import Filling

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ROWS = 5_000
_TABLE = """
CREATE TABLE past (
    user_id TEXT, txn_date INTEGER, id TEXT, known BLOB, PRIMARY KEY (user_id, txn_date, id)
) WITHOUT ROWID
"""
_OF_USER = "SELECT * FROM past WHERE user_id = ? AND txn_date >= ? ORDER BY txn_date, id"
_REMOVE = "DELETE FROM past WHERE user_id = ? AND txn_date = ? AND id = ?"
_ADD = "INSERT OR IGNORE INTO past VALUES (?, ?, ?, ?)"
_PUT = "INSERT OR REPLACE INTO past VALUES (?, ?, ?, ?)"
_Known = tuple[str, str, str, str | None, str | None, str | None, str | None]


class ReplayedPast:
    """Rows as Postgres had them, of a date and later; on disk, as there may be many. Without a date, none."""

    def __init__(self, since: datetime | None, folder: Path | None = None) -> None:
        self._since = since
        self._table = sqlite3.connect(folder / "past" if folder else ":memory:", isolation_level=None)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute(_TABLE)

    def close(self) -> None:
        """Give the file up."""
        self._table.close()

    async def note_applied(self, partition: int, epoch: int, seqs: Sequence[int], from_offset: int) -> None:
        """It is known already."""

    async def past(self, users: Sequence[str], since: datetime, begin: Callable[[], Filling]) -> Filling:
        """Have one that begins take in the rows of these users of this date and later, by date and id."""
        filling = begin()
        for user in users:
            rows = self._table.execute(_OF_USER, (user, _number(since)))
            while some := rows.fetchmany(_ROWS):
                filling.add(map(_transaction, some))
        return filling

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Store what a batch stores: the first of a key, but for revisions, which replace their rows."""
        if self._since is not None:
            self._table.execute("BEGIN")
            for verdict in verdicts:
                self._add(verdict, self._since)
            self._table.execute("COMMIT")

    def _add(self, verdict: Verdict, since: datetime) -> None:
        one = verdict.transaction
        if verdict.revision and verdict.moved_from:
            self._table.execute(_REMOVE, (one.user_id, _number(verdict.moved_from), one.id))
        if one.txn_date >= since:
            self._table.execute(_PUT if verdict.revision else _ADD, [*_row(one)])


def _row(one: Transaction) -> Iterator[str | int | bytes]:
    yield from (one.user_id, _number(one.txn_date), one.id)
    optional = one.merchant_id, one.card_id, one.country, one.channel
    yield msgspec.msgpack.encode((str(one.amount), one.currency, one.status, *optional))


def _transaction(row: tuple[str, int, str, bytes]) -> Transaction:
    user, date, identity, known = row
    amount, currency, status, *optional = msgspec.msgpack.decode(known, type=_Known)
    when = _EPOCH + date * _MICROSECOND
    return Transaction(identity, user, int(amount), currency, when, status, None, 0, *optional)


def _number(date: datetime) -> int:
    return (date - _EPOCH) // _MICROSECOND
