"""Lists in Postgres: changed by decisions, and read back from them."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import msgspec

from infra.decisions.deciding import session, unpublished
from infra.decisions.history import NEEDED, DecisionError, Proposal, append_several
from infra.decisions.publisher import ControlSettings
from schemas.decision import LIST, Decision
from schemas.lists import Change, ListChange, ListFaultError, changes

# Conditions on what the index has, so that no entries are read for them.
_OF_LIST = "kind = 'list' AND body ->> 'name' = $1"
_PUT_LAST = f"""
SELECT coalesce(max(seq), 0) FROM decisions
WHERE {_OF_LIST} AND body ->> 'change' = 'put' AND body ->> 'part' = '0'
"""  # noqa: S608 - constants
_SINCE = f"SELECT body::text FROM decisions WHERE {_OF_LIST} AND seq >= $2 ORDER BY seq"  # noqa: S608
_HISTORY = f"""
SELECT seq, kind, (body - 'entries')::text AS body, who, why, at FROM decisions
WHERE {_OF_LIST} AND seq < $2 ORDER BY seq DESC LIMIT $3
"""  # noqa: S608 - constants
_AT_A_TIME = 4
_END = (1 << 63) - 1


class ListDecided(NamedTuple):
    """A change of a list that is kept."""

    seq: int
    """The number of its last part: from that decision on it holds."""
    unpublished: str
    """Why it is not on the control topic yet; empty: it is."""


def proposals(name: str, change: Change, entries: list[str], by: tuple[str, str]) -> list[Proposal]:
    """The decisions that change a list.

    Raises:
        DecisionError: The name or an entry cannot be kept.
    """
    try:
        parts = changes(name, change, entries)
    except ListFaultError as error:
        raise DecisionError(str(error)) from None
    return [Proposal(LIST, msgspec.to_builtins(part), *by) for part in parts]


async def change_list(
    settings: ControlSettings, postgres_url: str, parts: list[Proposal], *, within: float
) -> ListDecided:
    """Change a list, and publish it; where that is not done within so many seconds, it is left to others.

    Raises:
        DecisionError: Who or why cannot be kept.
        DatabaseError: The database is not one to write to.
    """
    async with session(postgres_url, NEEDED) as connection:
        seq = await append_several(connection, parts)
    return ListDecided(seq, await unpublished(settings, postgres_url, within=within))


async def read_list(connection: asyncpg.Connection, name: str) -> list[str] | None:
    """A list's entries, in order; None: it was never decided."""
    entries, known = set[str](), False
    async for change in _changes(connection, name):
        known = True
        if change.change == "remove":
            entries.difference_update(change.entries)
        else:
            entries.update(change.entries)
    return sorted(entries) if known else None


async def _changes(connection: asyncpg.Connection, name: str) -> AsyncIterator[ListChange]:
    """What made the list, from what it was put to last."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        since = await connection.fetchval(_PUT_LAST, name)
        async for row in connection.cursor(_SINCE, name, since, prefetch=_AT_A_TIME):
            yield msgspec.json.decode(row["body"], type=ListChange)


async def list_history(
    connection: asyncpg.Connection, name: str, before: int | None = None, *, most: int
) -> list[Decision]:
    """The decisions on a list, newest first, without their entries."""
    rows = await connection.fetch(_HISTORY, name, _END if before is None else before, most)
    return [
        Decision(row["seq"], row["kind"], msgspec.json.decode(row["body"]), row["who"], row["why"], row["at"])
        for row in rows
    ]
