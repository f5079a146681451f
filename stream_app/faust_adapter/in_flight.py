"""What all partitions of a worker together may have in flight, between a fetch and its end."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)

_SAY_SECONDS = 10.0
# Longer than a whole batch takes on a busy machine: what lasts longer waits for something of its own, such as
# a lock in Postgres or its coordinator at Kafka, which those of other partitions need not wait for.
_STUCK_SECONDS = 5.0
_FULL = (
    "%d partitions wait for room, one of them for %g s: others have %d messages of %d bytes in flight, which "
    "wait for Kafka or Postgres. More room is TXNWATCH_IN_FLIGHT_TRANSACTIONS and TXNWATCH_IN_FLIGHT_BYTES"
)


class InFlight:
    """Room for so many records and about so many bytes; who comes first is let in first.

    Without it, 64 partitions that are far behind hold 64 whole batches as objects, some 2 GB, and on few
    cores their Kafka transactions, open all at once, time out before any has its turn to end.

    What is stuck keeps no room from all others: beside it they have what is left, and half of what it leaves
    of one and a half times the room where that is more. So there is some however many are stuck, one after
    the other, and never more than half as much again in all.

    The bytes of a batch are known once it is taken: the last one let in may go past the limit.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self.records = self.bytes = 0
        """What is taken of it."""
        self._stuck: set[Share] = set()
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()
        self._said = False

    @asynccontextmanager
    async def room(self, wanted: int) -> AsyncIterator["Share"]:
        """Room for so many records (at most for all that there is) while the block runs."""
        share = Share(self, await self._enter(wanted))
        sticking = asyncio.get_running_loop().call_later(_STUCK_SECONDS, self._stick, share)
        try:
            yield share
        finally:
            sticking.cancel()
            self._stuck.discard(share)
            self.free(share.records, share.bytes)

    async def _enter(self, wanted: int) -> int:
        if not self._waiting and (granted := self._room_for(wanted)) is not None:
            self.records += granted
            return granted
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[int] = loop.create_future()
        saying = loop.call_later(_SAY_SECONDS, self._say)
        self._waiting.append((wanted, turn))
        try:
            return await turn
        except asyncio.CancelledError:
            self._leave(wanted, turn)
            raise
        finally:
            saying.cancel()

    def _leave(self, wanted: int, turn: asyncio.Future[int]) -> None:
        if not turn.cancelled():
            self.free(turn.result(), 0)
        elif (wanted, turn) in self._waiting:  # else its holder was cancelled with it, and passed it over
            self._waiting.remove((wanted, turn))
            self.free(0, 0)

    def _say(self) -> None:
        """Log, once until somebody is let in, that there is no room."""
        if not self._said:
            self._said = True
            log.warning(_FULL, len(self._waiting), _SAY_SECONDS, self.records, self.bytes)

    def _stick(self, share: "Share") -> None:
        self._stuck.add(share)
        self.free(0, 0)

    def free(self, records: int, size: int) -> None:
        """Give room back, and let in who has waited for it."""
        self.records -= records
        self.bytes -= size
        while self._waiting and (granted := self._room_for(self._waiting[0][0])) is not None:
            self._let_in(granted, self._waiting.popleft()[1])

    def _let_in(self, granted: int, turn: asyncio.Future[int]) -> None:
        if not turn.cancelled():
            self._said = False
            self.records += granted
            turn.set_result(granted)

    def _room_for(self, wanted: int) -> int | None:
        """How many records one that wants so many is let in with now; None where it has to wait."""
        records = sum([share.records for share in self._stuck])
        size = sum([share.bytes for share in self._stuck])
        most = _beside(records, self._most_records)
        granted = min(wanted, most)
        fits = self.records - records + granted <= most and (granted or not wanted)
        return granted if fits and self.bytes - size < _beside(size, self._most_bytes) else None


def _beside(stuck: int, most: int) -> int:
    """How much of the room those have in all that are not stuck."""
    return max(most - stuck, (most * 3 // 2 - stuck) // 2)


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
