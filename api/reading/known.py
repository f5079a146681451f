"""Rows of transactions that are posted again, looked for before they are sent."""

import asyncio
import time
from collections.abc import Sequence

from api.reading.database import Database
from api.reading.statements import ROWS_BY_KEY
from api.web.problems import Unavailable
from infra.runtime.retry import Outage, in_a_line
from schemas.content import tells_of
from schemas.transaction import Transaction

_INTERVAL_SECONDS = 0.005
"""Looks begin at most so often: one costs the processor time of a whole request, of however many."""
_LOOK_SECONDS = 0.5
_AWAY_SECONDS = 5.0
"""So long posts go out unseen once a look took longer than 0.5 s: each of them would wait as long."""


class KnownRows:
    """Looks for rows by their keys.

    While Postgres does not answer nothing is known: workers know a user's last 20 all the same, and of others
    the first row stays.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: list[Transaction] = []
        self._look: asyncio.Task[dict[int, bytes]] | None = None
        self._next_at = self._away_until = 0.0
        self._outage = Outage("looking for rows of what is posted again")

    async def of(self, wanted: Sequence[Transaction]) -> list[bytes | None]:
        """The row of each that is known with the same content."""
        if time.monotonic() < self._away_until:
            return [None] * len(wanted)
        self._asked += wanted
        if self._look is None:
            self._look = asyncio.create_task(self._rows())
        found = await asyncio.shield(self._look)
        rows = [(found.get(id(one)), one) for one in wanted]
        return [row if row and tells_of(row, one) else None for row, one in rows]

    async def _rows(self) -> dict[int, bytes]:
        """Rows by the `id` of what was asked for until the look begins, which may be equal."""
        await asyncio.sleep(self._next_at - time.monotonic())
        asked, self._asked, self._look = self._asked, [], None
        self._next_at = time.monotonic() + _INTERVAL_SECONDS
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                found = await self._fetched(asked)
        except (Unavailable, TimeoutError) as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            self._outage.failed(in_a_line(error))
            return {}
        self._outage.over()
        return found

    async def _fetched(self, asked: Sequence[Transaction]) -> dict[int, bytes]:
        keys = zip(*((one.id, one.txn_date, one.user_id) for one in asked), strict=True)
        columns = [list(column) for column in keys]
        rows = await self._database.asked(lambda one: one.fetch(ROWS_BY_KEY, *columns))
        return {id(asked[number - 1]): row.encode() for number, row in rows}
