"""Who waits for the verdict on a transaction that is being sent: told by the feed of all that is scored."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from schemas.content import tells_of
from schemas.dead_letter import Place
from schemas.scored import source_of
from schemas.transaction import Transaction


@dataclass(slots=True, eq=False)
class Awaited:
    """A transaction, where its record is as soon as that is known, and its row as soon as it is scored."""

    transaction: Transaction
    place: Place | None = None
    row: bytes | None = None

    @property
    def key(self) -> bytes:
        """Its record's."""
        return self.transaction.user_id.encode()

    def fits(self, record: ConsumerRecord) -> bool:
        """Whether the record is its row.

        That of a transaction which was sent twice is published for the first of them alone.
        """
        if self.place is not None and source_of(record.headers) == self.place:
            return True
        return self.transaction.id.encode() in record.value and tells_of(record.value, self.transaction)


class Waiting:
    """The verdicts that one request waits for."""

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.awaited = [Awaited(one) for one in transactions]
        self._missing = len(transactions)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put(self, awaited: Awaited, row: bytes) -> None:
        """Take note of a row; the first one stays."""
        if awaited.row is None:
            awaited.row = row
            self._missing -= 1
        if not self._missing:
            self.end()

    @property
    def complete(self) -> bool:
        """Whether all have come."""
        return not self._missing

    def end(self) -> None:
        """Have it wait no longer."""
        if not self._over.done():
            self._over.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return once every verdict is there, or after `seconds`; then some may be missing."""
        timer = asyncio.get_running_loop().call_later(seconds, self.end)
        try:
            await self._over
        finally:
            timer.cancel()


class VerdictWaiters:
    """Those who wait, by the key of their records."""

    def __init__(self) -> None:
        self._by_key = defaultdict[bytes | None, list[tuple[Waiting, Awaited]]](list)
        self._waiting = set[Waiting]()

    @property
    def keys(self) -> Collection[bytes | None]:
        """The keys of the records that somebody waits for: the feed need not pass on any other."""
        return self._by_key.keys()

    @property
    def count(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @contextmanager
    def told(self, waiting: Waiting) -> Iterator[None]:
        """Tell it while the block runs, which has to begin before its transactions are sent."""
        self._waiting.add(waiting)
        for one in waiting.awaited:
            self._by_key[one.key].append((waiting, one))
        try:
            yield
        finally:
            self._waiting.discard(waiting)
            for key in {one.key for one in waiting.awaited}:
                self._forget(key, waiting)

    def hear(self, record: ConsumerRecord) -> None:
        """Tell those who wait for this record."""
        for waiting, awaited in self._by_key.get(record.key, ()):
            if awaited.row is None and record.value is not None and awaited.fits(record):
                waiting.put(awaited, record.value)

    def close(self) -> None:
        """End every wait now, as the API stops: what has no verdict yet is answered without one."""
        for waiting in self._waiting:
            waiting.end()

    def _forget(self, key: bytes, waiting: Waiting) -> None:
        left = [one for one in self._by_key[key] if one[0] is not waiting]
        if left:
            self._by_key[key] = left
        else:
            del self._by_key[key]
