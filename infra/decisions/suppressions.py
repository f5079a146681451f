"""Suppressions in Postgres: decided, ended, and those that hold."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from infra.database import session
from infra.decisions.deciding import Decided, unpublished
from infra.decisions.history import NEEDED, DecisionError, Proposal, append, one_at_a_time
from infra.decisions.publisher import ControlSettings
from schemas.decision import SUPPRESSION
from schemas.suppressions import MOST_SUPPRESSIONS, Suppression

# Until when is null where one was ended.
_HOLDING = """
SELECT body::text, who, why, seq FROM (
    SELECT DISTINCT ON (body ->> 'user_id', body ->> 'rule') body, who, why, seq
    FROM decisions WHERE kind = 'suppression'
    ORDER BY body ->> 'user_id', body ->> 'rule', seq DESC
) AS newest WHERE body ->> 'until' IS NOT NULL ORDER BY seq DESC
"""


class Suppressed(msgspec.Struct, frozen=True):
    """A suppression that was not ended, and who decided it."""

    seq: int
    suppression: Suppression
    who: str
    why: str


def suppression_of(table: Any) -> Suppression:
    """A suppression that somebody gives; the user's id may be in capitals.

    Raises:
        DecisionError: It is none.
    """
    try:
        user_id = table.get("user_id", "")
        given = table | {"user_id": user_id.lower() if isinstance(user_id, str) else user_id}
        suppression = msgspec.convert(given, Suppression)
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        raise DecisionError(f"no suppression: {error}") from None
    if not (suppression.user_id or suppression.rule):
        raise DecisionError("name a user, a rule, or both: nobody can mean every flag")
    return suppression


async def suppress(
    settings: ControlSettings, postgres_url: str, one: Suppression, by: tuple[str, str], *, within: float
) -> Decided:
    """Decide a suppression, in the place of one of the same user and rule, and publish it.

    Raises:
        DecisionError: There are too many, or who or why cannot be kept.
        DatabaseError: The database is not one to write to.
    """
    proposal = Proposal(SUPPRESSION, msgspec.to_builtins(one), *by)
    async with session(postgres_url, NEEDED) as connection, connection.transaction():
        await one_at_a_time(connection)
        others = {(each.suppression.user_id, each.suppression.rule) for each in await holding(connection)}
        if one.until and len(others - {(one.user_id, one.rule)}) >= MOST_SUPPRESSIONS:
            raise DecisionError(f"there are {MOST_SUPPRESSIONS:,} suppressions: end some of them first")
        decision = await append(connection, proposal)
    return Decided(decision, await unpublished(settings, postgres_url, within=within))


async def holding(connection: "asyncpg.Connection | asyncpg.Pool") -> Sequence[Suppressed]:
    """The suppressions that were not ended, newest first."""
    return [
        Suppressed(row["seq"], msgspec.json.decode(row["body"], type=Suppression), row["who"], row["why"])
        for row in await connection.fetch(_HOLDING)
    ]
