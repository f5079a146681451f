"""The months of the transactions table: partitions for this one and the next ones are made ahead.

Every process does so, once an hour; the functions of the database let one of them in at a time, and
find nothing to do for the others.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

import asyncpg

from api.settings import Settings
from infra.partitions import months
from infra.runtime.background import background
from infra.runtime.services import POSTGRES

log = logging.getLogger(__name__)

_EVERY_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0


class MonthlyPartitions:
    """Makes months, and drops those older than `retention_months`, where that is not 0."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def running(self) -> AbstractAsyncContextManager[None]:
        """Look after the months while the block runs."""
        return background(self._run(), name="months of transactions")

    async def _run(self) -> None:
        while True:
            done = await self.once()
            await asyncio.sleep(_EVERY_SECONDS if done else _AGAIN_SECONDS)

    async def once(self) -> bool:
        """Do what there is to do; False when that was not possible, which is logged in a line."""
        url, seconds = self._settings.postgres.get_secret_value(), self._settings.dependency_seconds
        try:
            async with (
                asyncio.timeout(seconds * 10),
                months.connected(url, application_name="txnwatch-api") as connection,
            ):
                await self._look_after(connection)
        except POSTGRES.errors as error:
            log.warning("months of transactions not looked after: %s", _reason(error))
            return False
        return True

    async def _look_after(self, connection: asyncpg.Connection) -> None:
        if keep := self._settings.retention_months:
            for dropped in await months.drop(connection, keep):
                log.info("dropped %s", dropped)
        try:
            for made in await months.ensure(connection, self._settings.months_ahead):
                log.info("made %s", made)
        except asyncpg.ObjectNotInPrerequisiteStateError as error:  # until somebody drains it
            log.warning("no month of transactions is made, as %s: run `txnwatch partitions drain`", error)


def _reason(error: Exception) -> str:
    """In a few words, and none of the server's: they may hold a password."""
    if isinstance(error, asyncpg.UndefinedFunctionError):
        return "run `txnwatch migrate`"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return "this role may not create tables"
    return type(error).__name__
