"""Decisions in Postgres: numbered, and read back. The table is the audit trail: nothing in it changes."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import msgspec

from infra.database import rights
from infra.runtime.cli_errors import StopError
from schemas.decision import LONGEST_WHO, LONGEST_WHY, MOST_BYTES, Decision

NEEDED = rights(("decisions",), ("SELECT", "INSERT"))

# Held to the commit, so that numbers are in the order of the commits: who reads one sees all before it.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('decisions'))"
_COLUMNS = "seq, kind, body::text AS body, who, why, at"
_APPEND = f"""
INSERT INTO decisions (seq, kind, body, who, why)
SELECT coalesce(max(seq), 0) + 1, $1, $2, $3, $4 FROM decisions RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_APPEND_SEVERAL = """
INSERT INTO decisions (seq, kind, body, who, why)
SELECT coalesce(max(seq), 0) + 1, $1, $2, $3, $4 FROM decisions RETURNING seq
"""
_NEWEST = "SELECT coalesce(max(seq), 0) FROM decisions WHERE $1::text IS NULL OR kind = $1"
# Parts of lists have up to 600 kB: of many at once as many as take 4 MB, compressed, and one at least.
_AFTER = f"""
SELECT {_COLUMNS} FROM (
    SELECT *, sum(pg_column_size(body)) OVER (ORDER BY seq) AS size
    FROM decisions WHERE seq > $1 ORDER BY seq LIMIT $2
) AS waiting WHERE size <= 4000000 OR seq = $1 + 1 ORDER BY seq
"""  # noqa: S608 - constants
_WITHOUT_ENTRIES = "(CASE kind WHEN 'list' THEN body - 'entries' ELSE body END)"
_BEFORE = f"""
SELECT seq, kind, {_WITHOUT_ENTRIES}::text AS body, who, why, at FROM decisions
WHERE seq < $1 AND ($2::text IS NULL OR kind = $2) ORDER BY seq DESC LIMIT $3
"""  # noqa: S608 - constants
_APPLIED = """
SELECT app_id, partition, coalesce(max(seq), 0)
FROM sink_offsets LEFT JOIN decisions_applied USING (app_id, topic, partition)
WHERE topic = $1 AND epoch > 0 GROUP BY 1, 2 ORDER BY 1, 2
"""
_APPLIED_AFTER = """
SELECT from_offset, seq, kind, body::text AS body, who, why, decisions.at
FROM decisions_applied JOIN decisions USING (seq)
WHERE app_id = $1 AND topic = $2 AND partition = $3 AND seq > $4 ORDER BY seq LIMIT $5
"""
_NEWEST_OF_BEFORE = """
SELECT coalesce(max(seq), 0) FROM decisions WHERE at < clock_timestamp() - make_interval(secs => $1)
"""
_END = (1 << 63) - 1
_BESIDE = 4 * (LONGEST_WHO + LONGEST_WHY) + 1_000  # what a record has beside the body

Connection: TypeAlias = "asyncpg.Connection | asyncpg.Pool"


class DecisionError(StopError):
    """A decision that cannot be taken as it is; the message says why."""


class OutdatedError(DecisionError):
    """Somebody else has decided in the meantime."""


class Proposal(NamedTuple):
    """A decision that has no number yet."""

    kind: str
    body: dict[str, Any]
    who: str
    why: str

    def check(self) -> None:
        """See that it can be kept and sent.

        Raises:
            DecisionError: It cannot.
        """
        for name, text, longest in (("who", self.who, LONGEST_WHO), ("why", self.why, LONGEST_WHY)):
            if len(text) > longest or "\0" in text:
                raise DecisionError(f"{name}: at most {longest:,} characters, none of them NUL")
        if len(json := self._json()) > MOST_BYTES - _BESIDE:
            raise DecisionError(f"it is larger than {MOST_BYTES - _BESIDE:,} bytes as JSON")
        if "\\u0000" in json:
            raise DecisionError("a text in it has a NUL, which Postgres does not keep")

    def _json(self) -> str:
        return msgspec.json.encode(self.body).decode()

    def row(self) -> tuple[str, str, str, str]:
        """As the statement takes it."""
        return self.kind, self._json(), self.who, self.why


class Applied(msgspec.Struct, frozen=True):
    """How far a partition has come: the newest decision that holds there, 0 for none."""

    app_id: str
    partition: int
    seq: int


class HeldDecision(NamedTuple):
    """A decision, and from which offset of the source on it held in a partition."""

    from_offset: int
    decision: Decision


class Late(msgspec.Struct, frozen=True):
    """Partitions that a decision has not reached in time."""

    decision: int
    """The newest that all should have; 0: none."""
    partitions: Sequence[int]


async def append(
    connection: asyncpg.Connection, proposal: Proposal, *, expected: int | None = None
) -> Decision:
    """Give a decision its number, and keep it.

    `expected` is the number of the newest of its kind that whoever decides has seen, 0 for none.

    Raises:
        OutdatedError: There is a newer one than `expected`.
        DecisionError: It is too large.
    """
    proposal.check()
    async with connection.transaction():
        await one_at_a_time(connection)
        if expected is not None and (newest := await newest_seq(connection, proposal.kind)) != expected:
            raise OutdatedError(f"the newest decision on {proposal.kind} is {newest}, not {expected}")
        return _decision(await connection.fetchrow(_APPEND, *proposal.row()))


async def append_several(connection: asyncpg.Connection, proposals: Sequence[Proposal]) -> int:
    """Keep decisions with numbers that follow each other, all or none; the last one's number.

    Raises:
        DecisionError: One is too large.
    """
    for proposal in proposals:
        proposal.check()
    async with connection.transaction():
        await one_at_a_time(connection)
        return [int(await connection.fetchval(_APPEND_SEVERAL, *one.row())) for one in proposals][-1]


async def one_at_a_time(connection: asyncpg.Connection) -> None:
    """Wait for whoever is deciding, and have all others wait to the end of the transaction."""
    await connection.execute(_ONE_AT_A_TIME)


async def newest_seq(connection: Connection, kind: str | None = None) -> int:
    """The number of the newest decision, of a kind or of all; 0 where there is none."""
    return int(await connection.fetchval(_NEWEST, kind))


async def after(connection: Connection, seq: int, most: int) -> list[Decision]:
    """The decisions after this one, oldest first."""
    return _decisions(await connection.fetch(_AFTER, seq, most))


async def before(
    connection: Connection, seq: int | None = None, *, kind: str | None = None, most: int = 1
) -> list[Decision]:
    """The decisions before this one, or all, newest first; those on lists without the entries."""
    return _decisions(await connection.fetch(_BEFORE, _END if seq is None else seq, kind, most))


async def find(connection: Connection, kind: str, seq: int | None = None) -> Decision | None:
    """The decision of a kind that has this number, or the newest; None where there is none."""
    found = await before(connection, None if seq is None else seq + 1, kind=kind)
    return next((one for one in found if seq in {None, one.seq}), None)


async def applied(connection: Connection, topic: str) -> list[Applied]:
    """How far each partition of the source has come, by app: those of apps that store rows here."""
    return [Applied(*row) for row in await connection.fetch(_APPLIED, topic)]


async def applied_after(
    connection: Connection, place: tuple[str, str, int], seq: int, most: int
) -> list[HeldDecision]:
    """The decisions after this one that an app's partition of a topic has applied, oldest first."""
    rows = await connection.fetch(_APPLIED_AFTER, *place, seq, most)
    return [HeldDecision(row["from_offset"], _decision(row)) for row in rows]


async def late(connection: Connection, app_id: str, topic: str, seconds: float) -> Late:
    """The partitions of an app that lack a decision which was made longer ago than this."""
    newest = int(await connection.fetchval(_NEWEST_OF_BEFORE, seconds))
    of_app = [one for one in await applied(connection, topic) if one.app_id == app_id]
    return Late(newest, [one.partition for one in of_app if one.seq < newest])


def _decisions(rows: Sequence[asyncpg.Record]) -> list[Decision]:
    return [*map(_decision, rows)]


def _decision(row: asyncpg.Record) -> Decision:
    body = msgspec.json.decode(row["body"])
    return Decision(row["seq"], row["kind"], body, row["who"], row["why"], row["at"])
