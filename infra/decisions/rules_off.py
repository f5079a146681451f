"""Rules that are off since they raised: decided once, whoever asks, and looked up."""

from collections.abc import Sequence

import asyncpg
import msgspec

from infra.database import session
from infra.decisions.deciding import Decided, unpublished
from infra.decisions.history import NEEDED, Proposal, append, newest_seq, one_at_a_time
from infra.decisions.publisher import ControlSettings
from schemas.decision import RULE_OFF, RULES, Decision
from schemas.rules.rule_off import RuleOff

_PUBLISH_SECONDS = 10
_OFF = "SELECT body::text FROM decisions WHERE kind = 'rule_off' AND seq > $1 ORDER BY seq"


async def turn_off(settings: ControlSettings, postgres_url: str, off: RuleOff, who: str) -> Decided | None:
    """Decide that a rule is off, and publish it; None where it is already, or another rule set holds.

    Raises:
        DatabaseError: The database is not one to write to.
    """
    proposal = Proposal(RULE_OFF, msgspec.to_builtins(off), who, "it raised on a transaction")
    async with session(postgres_url, NEEDED) as connection, connection.transaction():
        await one_at_a_time(connection)
        decision = await _append_new(connection, off, proposal)
    if decision is None:
        return None
    return Decided(decision, await unpublished(settings, postgres_url, within=_PUBLISH_SECONDS))


async def _append_new(connection: asyncpg.Connection, off: RuleOff, proposal: Proposal) -> Decision | None:
    is_outdated = await newest_seq(connection, RULES) != off.rule_set
    known = {one.rule for one in await rules_off(connection, off.rule_set)}
    return None if is_outdated or off.rule in known else await append(connection, proposal)


async def rules_off(connection: "asyncpg.Connection | asyncpg.Pool", rule_set: int) -> Sequence[RuleOff]:
    """The rules of a rule set that are off since they raised."""
    bodies = [
        msgspec.json.decode(row["body"], type=RuleOff) for row in await connection.fetch(_OFF, rule_set)
    ]
    return [one for one in bodies if one.rule_set == rule_set]
