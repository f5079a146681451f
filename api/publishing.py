"""Decisions that were made and not published, as by a command that was killed, are published here."""

import asyncio

from api.reading.database import Database
from api.settings import Settings
from api.web.problems import Unavailable
from infra.decisions.deciding import unpublished
from infra.decisions.history import newest_seq
from infra.runtime.retry import Outage

_EVERY_SECONDS = 1.0
_WITHIN_SECONDS = 10.0
_AGAIN_SECONDS = 10.0


async def keep_publishing(settings: Settings, database: Database) -> None:
    """Look every second whether there is a new decision, and publish what is not, until cancelled.

    Every process does so; the one that comes second finds nothing to do.
    """
    known, outage = 0, Outage("publishing decisions")
    while True:
        newest = await _newest(database, known)
        done = newest == known or await _published(settings, outage)
        known = newest if done else known
        await asyncio.sleep(_EVERY_SECONDS if done else _AGAIN_SECONDS)


async def _newest(database: Database, known: int) -> int:
    """The newest decision's number; the one known while Postgres cannot say."""
    try:
        return await database.asked(newest_seq)
    except Unavailable:
        return known


async def _published(settings: Settings, outage: Outage) -> bool:
    url = settings.postgres.get_secret_value()
    if why := await unpublished(settings, url, within=_WITHIN_SECONDS):
        outage.failed(why)
    else:
        outage.over()
    return not why
