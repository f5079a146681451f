"""Verdicts compared with the rows in Postgres, batch by batch, as they come out of the pipeline."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

import asyncpg
import msgspec

from stream_app.commands.replay.differences import (
    AGAIN,
    DROPPED,
    OPEN,
    REVISED,
    SAME,
    Mismatch,
    Origin,
    Pair,
    PartitionFindings,
)
from stream_app.commands.replay.partition import Store
from stream_app.scoring import Verdict
from stream_app.sinks.row_changes import json_array
from stream_app.window import ANY_CURRENCY
from stream_app.window.recent import RECENT

# Postgres compares, as only it knows what it makes of JSON.
_DIFFERENT = """
WITH given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (json_to_recordset($1::json) AS (
        id uuid, user_id uuid, amount numeric, currency text, txn_date timestamptz, status text,
        meta_data jsonb, merchant_id text, card_id text, country text, channel text
    )) WITH ORDINALITY AS one (
        id, user_id, amount, currency, txn_date, status,
        meta_data, merchant_id, card_id, country, channel, place
    )
)
SELECT given.place - 1 AS place, (to_jsonb(given) - 'place')::text AS replayed, to_jsonb(there)::text AS given
FROM given LEFT JOIN transactions AS there USING (id, txn_date, user_id)
WHERE there.id IS NULL OR (
    there.amount, there.currency, there.status, there.meta_data,
    there.merchant_id, there.card_id, there.country, there.channel
) IS DISTINCT FROM (
    given.amount, given.currency, given.status, given.meta_data,
    given.merchant_id, given.card_id, given.country, given.channel
)
"""
_SEEN = b"\0seen"
_HASH_BYTES = 16
_MOST_OPEN = 20_000
SEEN_PARTITION = -1
"""Of the store: keeps which keys had a verdict, on whatever partition."""

_Key = tuple[str, str, datetime]


class Stored(Protocol):
    """The rows that were stored."""

    async def different(self, verdicts: Sequence[Verdict]) -> dict[int, Pair]:
        """Those of these verdicts that their rows do not say, by their place among them."""


class StoredTable:
    """The rows in Postgres."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def different(self, verdicts: Sequence[Verdict]) -> dict[int, Pair]:
        """Those of these verdicts that their rows do not say, by their place among them."""
        rows = json_array([verdict.encoded()[0] for verdict in verdicts])
        found = await self._pool.fetch(_DIFFERENT, rows)
        return {one["place"]: _pair(one["given"], one["replayed"]) for one in found}


def _pair(given: str | None, replayed: str) -> Pair:
    row: dict[str, Any] = msgspec.json.decode(replayed)
    there = msgspec.json.decode(given) if given else None
    return there and {name: there[name] for name in row}, row


@dataclass(slots=True)
class ComparedRows:
    """In place of the sink of rows: what came of each partition is in `found`, once it was finished.

    What is found of a row may be explained by what comes later, a revision, so the first ones are kept open.
    """

    table: Stored
    store: Store
    found: dict[int, PartitionFindings] = field(default_factory=dict)
    user: str = ""
    """Whose verdicts are compared; empty: all."""
    partitions: Collection[int] = ()
    """Whose verdicts are compared; none: all."""
    oldest: datetime | None = None
    """The beginning of the first month that there are rows of."""
    compared: int = 0
    decision: int = 0
    """The newest that holds."""
    window_size: int = 0
    """Of the settings that hold."""
    _open: dict[_Key, Mismatch] = field(default_factory=dict)
    _seen: dict[bytes, bytes | None] = field(default_factory=dict)

    def is_asked_for(self, partition: int) -> bool:
        """Whether its verdicts are compared."""
        return not self.partitions or partition in self.partitions

    async def write(self, partition: int, _epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """Compare a batch."""
        ours = [one for one in verdicts if self.user in {"", one.transaction.user_id}]
        if self.is_asked_for(partition):
            different = await self.table.different(ours) if ours else {}
            for place, verdict in enumerate(ours):
                self._settle(self.found[partition], verdict, different.get(place))
            self.compared += len(ours)
        else:
            self._seen |= {_note(_key(verdict)): b"" for verdict in ours}
        self.store.write(SEEN_PARTITION, [*self._seen.items()], next_offset)
        self._seen.clear()
        return len(ours)

    def finish(self, *, whole: bool) -> None:
        """Settle what is open; `whole` says whether everything was scored that rows may be of."""
        for difference in self._open.values():
            its = self.found[difference.place.partition]
            if whole:
                its.add(difference)
            else:
                its.counts[OPEN] += 1
        self._open.clear()

    def _settle(self, findings: PartitionFindings, verdict: Verdict, pair: Pair | None) -> None:
        one, key = verdict.transaction, _key(verdict)
        if verdict.revision:
            former = one.id, one.user_id, verdict.moved_from or one.txn_date
            # It takes the place of its row, and of another that has its key.
            for replaced in {former, key} & self._open.keys():
                its = self._open.pop(replaced)
                self.found[its.place.partition].counts[REVISED] += 1
            self._seen[_note(former)] = None
        if pair is None:
            findings.counts[SAME] += 1
        elif not verdict.revision and self._is_seen(key):
            findings.counts[AGAIN] += 1  # scored again, and stored as it was first
        else:
            self._differs(findings, verdict, pair)
        self._seen[_note(key)] = b""

    def _differs(self, findings: PartitionFindings, verdict: Verdict, pair: Pair) -> None:
        one = verdict.transaction
        if pair[0] is None and self.oldest and one.txn_date < self.oldest:
            findings.counts[DROPPED] += 1
            return
        place = Origin(findings.partition, verdict.offset, one.id, one.user_id, one.txn_date.isoformat())
        difference = Mismatch.of(
            place, pair, self.decision, is_full=self._is_full(findings.partition, verdict)
        )
        if len(self._open) < _MOST_OPEN:
            self._open[_key(verdict)] = difference
        else:
            findings.add(difference)

    def _is_full(self, partition: int, verdict: Verdict) -> bool:
        """Whether the user's window, before the batch, is full of what was seen, and all there is."""
        one = verdict.transaction
        window = self.store.load(partition, [one.user_id])[one.user_id]
        its = window if window.currency == ANY_CURRENCY else window.by_currency.get(one.currency.upper())
        is_known = len(window.recent_keys) == RECENT
        return is_known and its is not None and its.count >= self.window_size and not its.state

    def _is_seen(self, key: _Key) -> bool:
        note = _note(key)
        found = self._seen[note] if note in self._seen else self.store.note(SEEN_PARTITION, note)
        return found is not None


def _key(verdict: Verdict) -> _Key:
    one = verdict.transaction
    return one.id, one.user_id, one.txn_date


def _note(key: _Key) -> bytes:
    """Under which the store has that a transaction had its verdict."""
    return _SEEN + blake2b(repr(key).encode(), digest_size=_HASH_BYTES).digest()
