"""Lists in Postgres: changed by decisions, and read back from them."""

from typing import NamedTuple

import asyncpg
import msgspec

from infra.database import session
from infra.decisions.deciding import unpublished
from infra.decisions.history import NEEDED, DecisionError, Proposal, append_several
from infra.decisions.publisher import ControlSettings
from schemas.decision import LIST, Decision
from schemas.lists import Change, ListFaultError, changes

# Conditions on what the index has, so that no entries are read for them.
_OF_LIST = "kind = 'list' AND body ->> 'name' = $1"
_PUT_LAST = f"""
SELECT coalesce(max(seq), 0) FROM decisions
WHERE {_OF_LIST} AND body ->> 'change' = 'put' AND body ->> 'part' = '0'
"""  # noqa: S608 - constants
_ENTRIES = f"""
SELECT entry FROM (
    SELECT DISTINCT ON (entry COLLATE "C") entry, body ->> 'change' AS change
    FROM decisions, jsonb_array_elements_text(body -> 'entries') AS entry
    WHERE {_OF_LIST} AND seq >= ({_PUT_LAST}) AND entry COLLATE "C" > $2
    ORDER BY entry COLLATE "C", seq DESC
) AS newest WHERE change <> 'remove' ORDER BY entry COLLATE "C" LIMIT $3
"""  # noqa: S608 - constants
_HISTORY = f"""
SELECT seq, kind, (body - 'entries')::text AS body, who, why, at FROM decisions
WHERE {_OF_LIST} AND seq < $2 ORDER BY seq DESC LIMIT $3
"""  # noqa: S608 - constants
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


async def read_list(
    connection: "asyncpg.Connection | asyncpg.Pool", name: str, after: str = "", *, most: int | None = None
) -> list[str]:
    """The entries of a list after one, by their code points; none of a list that was never decided."""
    return [row["entry"] for row in await connection.fetch(_ENTRIES, name, after, most)]


async def list_history(
    connection: "asyncpg.Connection | asyncpg.Pool", name: str, before: int | None = None, *, most: int
) -> list[Decision]:
    """The decisions on a list, newest first, without their entries."""
    rows = await connection.fetch(_HISTORY, name, _END if before is None else before, most)
    return [
        Decision(row["seq"], row["kind"], msgspec.json.decode(row["body"]), row["who"], row["why"], row["at"])
        for row in rows
    ]
