"""What all partitions of a worker together may have in flight, between a fetch and its end."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)

_SAY_SECONDS = 10.0
_FULL = (
    "%d partitions wait for room, one of them for %g s: others have %d messages of %d bytes in flight, which "
    "wait for Kafka or Postgres. More room is TXNWATCH_IN_FLIGHT_TRANSACTIONS and TXNWATCH_IN_FLIGHT_BYTES"
)


class InFlight:
    """Room for so many records and about so many bytes; who comes first is let in first.

    Without it, 64 partitions that are far behind hold 64 whole batches as objects, some 2 GB, and on few
    cores their Kafka transactions, open all at once, time out before any has its turn to end.

    The bytes of a batch are known once it is taken: the last one let in may go past the limit.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self.records = self.bytes = 0
        """What is taken of it."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._said = False

    @asynccontextmanager
    async def room(self, wanted: int) -> AsyncIterator["Share"]:
        """Room for so many records (at most for all that there is) while the block runs."""
        share = Share(self, min(wanted, self._most_records))
        await self._enter(share.records)
        try:
            yield share
        finally:
            self.free(share.records, share.bytes)

    async def _enter(self, wanted: int) -> None:
        if not self._waiting and self._has_room(wanted):
            self.records += wanted
            return
        loop = asyncio.get_running_loop()
        turn, saying = loop.create_future(), loop.call_later(_SAY_SECONDS, self._say)
        self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(wanted, turn)
            raise
        finally:
            saying.cancel()

    def _leave(self, wanted: int, turn: asyncio.Future[None]) -> None:
        if not turn.cancelled():
            self.free(wanted, 0)
        elif (wanted, turn) in self._waiting:  # else its holder was cancelled with it, and passed it over
            self._waiting.remove((wanted, turn))
            self.free(0, 0)

    def _say(self) -> None:
        """Log, once until somebody is let in, that there is no room."""
        if not self._said:
            self._said = True
            log.warning(_FULL, len(self._waiting), _SAY_SECONDS, self.records, self.bytes)

    def free(self, records: int, size: int) -> None:
        """Give room back, and let in who has waited for it."""
        self.records -= records
        self.bytes -= size
        while self._waiting and self._has_room(self._waiting[0][0]):
            self._let_in(*self._waiting.popleft())

    def _let_in(self, wanted: int, turn: asyncio.Future[None]) -> None:
        if not turn.cancelled():
            self._said = False
            self.records += wanted
            turn.set_result(None)

    def _has_room(self, wanted: int) -> bool:
        return self.records == 0 or (
            self.records + wanted <= self._most_records and self.bytes < self._most_bytes
        )


class Share:
    """One batch's room."""

    def __init__(self, whole: InFlight, records: int) -> None:
        self._whole = whole
        self.records = records
        """How many records it may have, and once they are taken, how many it has."""
        self.bytes = 0

    def take(self, records: int, size: int) -> None:
        """Take note of what was fetched into it, and give the rest back."""
        self._whole.bytes += size
        self.bytes = size
        spare, self.records = self.records - records, records
        self._whole.free(spare, 0)
