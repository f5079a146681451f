"""Rows of transactions that are posted again, looked for before they are sent."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from api.reading.database import Database
from api.reading.statements import ROWS_BY_KEY
from infra.runtime.retry import Outage, in_a_line
from schemas.content import tells_of
from schemas.transaction import Transaction

_INTERVAL_SECONDS = 0.005
"""Looks begin at most so often, and one after the other: each costs the processor time of half a request, of
however many, and takes longer where that is scarce."""
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
        self._next = _QuestionOfAll()
        self._looking: asyncio.Task[None] | None = None
        self._next_at = self._away_until = 0.0
        self._outage = Outage("looking for rows of what is posted again")

    async def of(self, wanted: Sequence[Transaction]) -> list[bytes | None]:
        """The row of each that is known with the same content."""
        if time.monotonic() < self._away_until:
            return [None] * len(wanted)
        look = self._next
        look.asked += wanted
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        # Not the task: a client that leaves would cancel it, and all others would wait for ever.
        await look.over.wait()
        rows = [(look.found.get(id(one)), one) for one in wanted]
        return [row if row and tells_of(row, one) else None for row, one in rows]

    async def _look(self) -> None:
        """Look as long as somebody asks; each look is for all who asked during the one before."""
        while self._next.asked:
            await asyncio.sleep(self._next_at - time.monotonic())
            look, self._next = self._next, _QuestionOfAll()
            self._next_at = time.monotonic() + _INTERVAL_SECONDS
            try:
                await self._answer(look)
            finally:
                look.over.set()

    async def _answer(self, look: "_QuestionOfAll") -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                look.found = await self._fetched(look.asked)
            self._outage.over()
        except Exception as error:  # noqa: BLE001 - whatever it is, what is posted goes out
            self._away_until = time.monotonic() + _AWAY_SECONDS
            self._outage.failed(in_a_line(error))

    async def _fetched(self, asked: Sequence[Transaction]) -> dict[int, bytes]:
        keys = msgspec.json.encode([_AskedKey(one.id, one.txn_date, one.user_id) for one in asked]).decode()
        rows = await self._database.asked(lambda one: one.fetch(ROWS_BY_KEY, keys))
        return {id(asked[number - 1]): row.encode() for number, row in rows}


class _AskedKey(msgspec.Struct, gc=False):
    """What a row is found by."""

    id: str
    txn_date: datetime
    user_id: str


@dataclass(slots=True)
class _QuestionOfAll:
    """About rows, of all who come until it is asked."""

    asked: list[Transaction] = field(default_factory=list)
    found: Mapping[int, bytes] = field(default_factory=dict)
    """Rows by the `id` of what was asked for, as several may be equal."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
