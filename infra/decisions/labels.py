"""Labels: looked up by transaction, numbered as decisions, and kept. The same label again changes nothing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import asyncpg
import msgspec

from infra.database import rights, session
from infra.decisions.deciding import unpublished
from infra.decisions.history import Proposal, one_at_a_time
from infra.decisions.publisher import ControlSettings
from schemas.decision import LABEL
from schemas.labels import TransactionLabel, is_explained

NEEDED = [*rights(("decisions", "labels"), ("SELECT", "INSERT")), *rights(("transactions",), ("SELECT",))]

_ROWS = """
SELECT id::text, txn_date, user_id::text, coalesce(merchant_id, '') AS merchant_id, meta_data::text
FROM transactions WHERE id = ANY($1::uuid[])
"""
# With all dates named, only their months are looked at.
_ROWS_OF_DATES = f"{_ROWS} AND txn_date = ANY($2::timestamptz[])"
_FORMER = """
SELECT DISTINCT ON (id, txn_date, user_id) id::text, txn_date, user_id::text, label, seq
FROM labels WHERE id = ANY($1::uuid[]) ORDER BY id, txn_date, user_id, seq DESC
"""
_DECIDE = """
INSERT INTO decisions (seq, kind, body, who, why)
SELECT newest.seq + place, $1, body, $3, $4
FROM (SELECT coalesce(max(seq), 0) AS seq FROM decisions) AS newest,
    unnest($2::jsonb[]) WITH ORDINALITY AS given (body, place)
RETURNING seq
"""
_KEEP = """
INSERT INTO labels (seq, id, txn_date, user_id, label)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::text[])
"""


class LabelOutcome(StrEnum):
    """What became of a label."""

    NEW = "new"
    CHANGED = "another than before"
    KNOWN = "known already"
    ABSENT = "of no transaction that is there"
    OF_OTHERS = "of another user's transaction"
    AMBIGUOUS = "of several transactions: name user_id and txn_date"


class Asked(NamedTuple):
    """A label for a transaction; user and date may be left open."""

    id: str
    user_id: str
    txn_date: datetime | None
    fraud: bool


class Answer(NamedTuple):
    """What became of it, and the number of the decision that holds now."""

    outcome: LabelOutcome
    seq: int | None = None


class _Key(NamedTuple):
    id: str
    txn_date: datetime
    user_id: str


class _Former(NamedTuple):
    label: str
    seq: int | None
    """None: it is about to be given."""


async def give_labels(
    connection: asyncpg.Connection, several: Sequence[Asked], who: str, why: str
) -> list[Answer]:
    """Keep labels as decisions, in their order and all or none; what became of each.

    Raises:
        DecisionError: `who` or `why` cannot be kept.
    """
    Proposal(LABEL, {}, who, why).check()
    async with connection.transaction():
        await one_at_a_time(connection)
        chosen = _Choice(await _rows(connection, several), await _former(connection, several))
        outcomes = [chosen.take(one) for one in several]
        seqs = await _keep(connection, chosen.labels, who, why)
    return [Answer(outcome, chosen.seq(key, seqs)) for outcome, key in outcomes]


async def label_one(
    settings: ControlSettings, postgres_url: str, asked: Asked, by: tuple[str, str], *, within: float
) -> tuple[Answer, str]:
    """Give one label, and publish it; what became of it, and why it is not published where it is not.

    Raises:
        DecisionError: Who or why cannot be kept.
        DatabaseError: The database is not one to write to.
    """
    async with session(postgres_url, NEEDED) as connection:
        [answer] = await give_labels(connection, [asked], *by)
    is_new = answer.outcome in {LabelOutcome.NEW, LabelOutcome.CHANGED}
    return answer, await unpublished(settings, postgres_url, within=within) if is_new else ""


class _Choice:
    """Which labels are new."""

    def __init__(self, rows: Iterable[asyncpg.Record], former: dict[_Key, _Former]) -> None:
        self.labels: list[TransactionLabel] = []
        self._rows = defaultdict[str, list[asyncpg.Record]](list)
        for row in rows:
            self._rows[row["id"]].append(row)
        self._former, self._given = former, dict[_Key, int]()

    def take(self, one: Asked) -> tuple[LabelOutcome, _Key | None]:
        """What becomes of a label, and whose it is."""
        there = [row for row in self._rows[one.id] if one.txn_date in {None, row["txn_date"]}]
        fitting = [row for row in there if one.user_id in {"", row["user_id"]}]
        if len(fitting) != 1:
            nothing = LabelOutcome.OF_OTHERS if there else LabelOutcome.ABSENT
            return (LabelOutcome.AMBIGUOUS if fitting else nothing), None
        return self._of_row(fitting[0], fraud=one.fraud)

    def seq(self, key: _Key | None, seqs: Sequence[int]) -> int | None:
        """The number of a transaction's newest label, where these are the new ones'."""
        if key is None:
            return None
        return seqs[self._given[key]] if key in self._given else self._former[key].seq

    def _of_row(self, row: asyncpg.Record, *, fraud: bool) -> tuple[LabelOutcome, _Key]:
        key, label = _Key(row["id"], row["txn_date"], row["user_id"]), _text(fraud=fraud)
        before = self._former.get(key)
        if before is not None and before.label == label:
            return LabelOutcome.KNOWN, key
        explained = is_explained(msgspec.json.decode(row["meta_data"]))
        self._former[key], self._given[key] = _Former(label, None), len(self.labels)
        self.labels.append(TransactionLabel(*key, row["merchant_id"], fraud, explained))
        return (LabelOutcome.CHANGED if before else LabelOutcome.NEW), key


async def _rows(connection: asyncpg.Connection, several: Sequence[Asked]) -> list[asyncpg.Record]:
    ids, dates = [one.id for one in several], [one.txn_date for one in several]
    if None in dates:
        return await connection.fetch(_ROWS, ids)  # type: ignore[no-any-return]
    return await connection.fetch(_ROWS_OF_DATES, ids, dates)  # type: ignore[no-any-return]


async def _former(connection: asyncpg.Connection, several: Sequence[Asked]) -> dict[_Key, _Former]:
    rows = await connection.fetch(_FORMER, [one.id for one in several])
    return {_Key(*row[:3]): _Former(*row[3:]) for row in map(tuple, rows)}


async def _keep(
    connection: asyncpg.Connection, labels: Sequence[TransactionLabel], who: str, why: str
) -> list[int]:
    if not labels:
        return []
    bodies = [msgspec.json.encode(one).decode() for one in labels]
    seqs = sorted(row["seq"] for row in await connection.fetch(_DECIDE, LABEL, bodies, who, why))
    ids, dates, users = zip(*((one.id, one.txn_date, one.user_id) for one in labels), strict=True)
    texts = [_text(fraud=one.fraud) for one in labels]
    await connection.execute(_KEEP, seqs, ids, dates, users, texts)
    return seqs


def _text(*, fraud: bool) -> str:
    return "fraud" if fraud else "legitimate"
