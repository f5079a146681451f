"""Looks after the months of the transactions table: this month and the next ones are made ahead.

Every process does so, once an hour; the functions of the database let one of them in at a time, and
find nothing to do for the others.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

import asyncpg

from infra.runtime.background import background

log = logging.getLogger(__name__)

_EVERY_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0
_LOCK_TIMEOUT = "2s"  # whoever waits for the table makes others wait
_FAILED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Upkeep:
    """Makes months, and drops those older than `retention` months, where that is not 0."""

    def __init__(self, url: str, *, ahead: int, retention: int, seconds: float) -> None:
        self._url = url
        self._ahead = ahead
        self._retention = retention
        self._seconds = seconds

    def running(self) -> AbstractAsyncContextManager[None]:
        """Look after the months while the block runs."""
        return background(self._run(), name="upkeep of months")

    async def _run(self) -> None:
        while True:
            done = await self.once()
            await asyncio.sleep(_EVERY_SECONDS if done else _AGAIN_SECONDS)

    async def once(self) -> bool:
        """Does what there is to do; False when that was not possible, which is logged in a line."""
        try:
            async with asyncio.timeout(self._seconds * 10):
                connection = await asyncpg.connect(
                    self._url,
                    timeout=self._seconds,
                    server_settings={"application_name": "txnwatch-api", "lock_timeout": _LOCK_TIMEOUT},
                )
                try:
                    await self._look_after(connection)
                finally:
                    await connection.close(timeout=self._seconds)
        except _FAILED as error:
            log.warning("months of transactions not looked after: %s", _reason(error))
            return False
        return True

    async def _look_after(self, connection: asyncpg.Connection) -> None:
        if self._retention:
            for [dropped] in await connection.fetch("SELECT drop_transactions_months($1)", self._retention):
                log.info("dropped %s", dropped)
        try:
            for [made] in await connection.fetch("SELECT make_transactions_months($1)", self._ahead):
                log.info("made %s", made)
        except asyncpg.ObjectNotInPrerequisiteStateError as error:  # passes by what a person does
            log.warning("no month of transactions is made, as %s: run `txnwatch partitions drain`", error)


def _reason(error: Exception) -> str:
    """In a few words, and none of the server's: they may hold a password."""
    if isinstance(error, asyncpg.UndefinedFunctionError):
        return "run `txnwatch migrate`"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return "this role may not create tables"
    return type(error).__name__
