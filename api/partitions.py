"""The months of the transactions table: partitions for this one and the next ones are made ahead.

Every process does so, once an hour; the functions of the database let one of them in at a time, and
find nothing to do for the others.
"""

import asyncio
import logging

import asyncpg

from api.settings import Settings
from infra.partitions import months
from infra.runtime.retry import Outage
from infra.runtime.services import POSTGRES

log = logging.getLogger(__name__)

_EVERY_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0
# None of the server's words, which may hold a password.
_REASONS = {
    asyncpg.UndefinedFunctionError: "run `txnwatch migrate`",
    asyncpg.InsufficientPrivilegeError: "this role may not create tables, or not write to access_log",
}


async def look_after_months(settings: Settings) -> None:
    """Make months, and drop those older than `retention_months`, where that is not 0, until cancelled."""
    outage = Outage("looking after months of transactions")
    while True:
        done = await months_looked_after(settings, outage)
        await asyncio.sleep(_EVERY_SECONDS if done else _AGAIN_SECONDS)


async def months_looked_after(settings: Settings, outage: Outage) -> bool:
    """Do what there is to do now; False when that was not possible, which is logged in a line."""
    url, seconds = settings.postgres.get_secret_value(), settings.dependency_seconds
    try:
        async with (
            asyncio.timeout(seconds * 10),
            months.connected(url, seconds=seconds, application_name="txnwatch-api") as connection,
        ):
            await _look_after(connection, settings)
    except POSTGRES.errors as error:
        outage.failed(_REASONS.get(type(error), type(error).__name__))
        return False
    outage.over()
    return True


async def _look_after(connection: asyncpg.Connection, settings: Settings) -> None:
    if settings.retention_months:
        for dropped in await months.drop(connection, settings.retention_months, "txnwatch api"):
            log.info("dropped %s", dropped)
    try:
        for made in await months.ensure(connection, settings.months_ahead):
            log.info("made %s", made)
    except asyncpg.ObjectNotInPrerequisiteStateError as error:  # until somebody drains it
        log.warning("no month of transactions is made, as %s: run `txnwatch partitions drain`", error)
