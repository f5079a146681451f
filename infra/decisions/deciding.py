"""To decide: keep a decision in Postgres, then publish it, or leave that to whoever publishes next."""

import asyncio
from typing import NamedTuple

import asyncpg

from infra.database import session
from infra.decisions.history import NEEDED, Proposal, append
from infra.decisions.publisher import ControlSettings, publish
from infra.runtime.cli_errors import StopError
from infra.runtime.kafka import AWAY
from schemas.decision import Decision


class Decided(NamedTuple):
    """A decision that is kept, and whether it is on the control topic by now."""

    decision: Decision
    unpublished: str
    """Why it is not; empty: it is."""


async def decide(
    settings: ControlSettings,
    postgres_url: str,
    proposal: Proposal,
    *,
    expected: int | None = None,
    within: float = 10,
) -> Decided:
    """Keep a decision and publish it; where that is not done within so many seconds, it is left to others.

    Raises:
        OutdatedError: There is a newer one of its kind than `expected`.
        DecisionError: It cannot be kept or sent.
        DatabaseError: The database is not one to write to.
    """
    async with session(postgres_url, NEEDED) as connection:
        decision = await append(connection, proposal, expected=expected)
    return Decided(decision, await unpublished(settings, postgres_url, within=within, is_new=True))


async def unpublished(
    settings: ControlSettings, postgres_url: str, *, within: float, is_new: bool = False
) -> str:
    """Publish what is not published yet; why that cannot be done now, without what a service said."""
    try:
        await asyncio.wait_for(publish(settings, postgres_url, is_new=is_new), within)
    except StopError as error:
        return str(error)
    except AWAY as error:
        return f"Kafka does not take it ({type(error).__name__})"
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"Postgres does not answer ({type(error).__name__})"
    return ""
