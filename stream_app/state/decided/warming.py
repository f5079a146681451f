"""Features that are filled from rows: before a user's next transaction, and of all other users meanwhile.

A decision fills them at an offset of the source: what counts are the rows of what came before it. Until a
user's next transaction is stored, there are those rows of the user and no others. So it comes to the same
whenever it is done before that, and again after a crash. Whoever has come since, by `last_offset`, was
filled; and of a batch that Postgres has and Kafka has not, everybody was, as what is filled is in the
changelog before Postgres has the rows.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

import msgspec

from schemas.decision import Decision
from schemas.rules.warming import Warming
from schemas.transaction import Transaction
from stream_app.scoring import Arrival
from stream_app.scoring.features.layout import parts_of
from stream_app.scoring.filling import Filling
from stream_app.state.decided.lists import Kept, Notes
from stream_app.window import Window, encode_window

log = logging.getLogger(__name__)

WARM_KEY = b"\0decided-warming"
_AT_A_TIME = 2_000  # users, whose windows are one transaction of Kafka
_NOT_YET = -1


class KeptWarming(Warming, frozen=True):
    """What is filled, until all users are."""

    seq: int
    from_offset: int = _NOT_YET
    """The offset of the source at which it was decided."""


class PastRows(Protocol):
    """Rows that were stored."""

    async def past(self, users: Sequence[str], since: datetime, begin: Callable[[], Filling]) -> Filling:
        """Have one that begins take in the rows of these users of this date and later, by date and id."""


class ChangeOutput(Protocol):
    """Kafka. Raises LostPartitionError when this producer was fenced."""

    async def apply(self, notes: Mapping[bytes, bytes | None]) -> int:
        """Write to the changelog, all or nothing; the offset of the last."""


class ChangeStore(Protocol):
    """RocksDB."""

    def note(self, partition: int, key: bytes) -> bytes | None:
        """What is kept under a key that is no user's."""

    def write(self, partition: int, items: Sequence[tuple[bytes, bytes | None]], offset: int) -> None:
        """Keep what the changelog has up to an offset."""


def note_warming(decision: Decision, notes: Notes, kept: Kept) -> None:
    """Add a decision to what is being filled.

    Raises:
        msgspec.ValidationError: It is none.
    """
    warming = msgspec.convert(decision.body | {"seq": decision.seq}, KeptWarming)
    try:
        parts_of(warming.features)
    except (KeyError, ValueError) as error:
        raise msgspec.ValidationError(f"there is no feature {error}") from None
    before = notes[WARM_KEY] if WARM_KEY in notes else kept(WARM_KEY)
    notes[WARM_KEY] = msgspec.json.encode([*_warmings(before), warming])


def placed(notes: Notes, from_offset: int) -> Notes:
    """The note of what is filled, with the offset of what was just decided; none where there is none."""
    if (note := notes.get(WARM_KEY)) is None:
        return {}
    each = [
        msgspec.structs.replace(one, from_offset=from_offset) if one.from_offset == _NOT_YET else one
        for one in _warmings(note)
    ]
    return {WARM_KEY: msgspec.json.encode(each)}


def _warmings(note: bytes | None) -> list[KeptWarming]:
    return msgspec.json.decode(note or b"[]", type=list[KeptWarming])


@dataclass(slots=True)
class PastFiller:
    """Fills users' features in one partition."""

    partition: int
    history: PastRows
    output: ChangeOutput
    store: ChangeStore
    teaches: Callable[[Transaction], bool]
    stored_up_to: int
    """The source offset before which Postgres had all rows when the partition was taken over."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether there are users to be filled."""
    warmings: Sequence[KeptWarming] = ()

    def __post_init__(self) -> None:
        self.load()

    def load(self) -> None:
        """See what is to be filled."""
        self.warmings = _warmings(self.store.note(self.partition, WARM_KEY))
        if self.warmings:
            self.wanted.set()

    def lacks(self, window: Window) -> bool:
        """Whether something is to be filled there."""
        newest = self.warmings[-1].from_offset if self.warmings else 0
        return window.last_offset < newest and not window.is_new

    async def before(self, arrivals: Sequence[Arrival], windows: Mapping[str, Window]) -> None:
        """Fill what is to be known of these users before these transactions of theirs are scored."""
        if self.warmings:
            stored = {one.transaction.user_id for one in arrivals if one.offset < self.stored_up_to}
            users = iter([user for user in windows if user not in stored])
            while some := [*islice(users, _AT_A_TIME)]:
                await self.fill({user: windows[user] for user in some})

    async def fill(self, windows: Mapping[str, Window]) -> None:
        """Fill these, as far as they lack anything, and keep them."""
        filled: dict[str, Window] = {}
        for warming, those in self._lacking(windows):
            filled |= await self._filled(warming, those)
        if filled:
            changes = {user.encode(): encode_window(window) for user, window in filled.items()}
            await self._keep(changes)

    async def finish(self, seq: int) -> None:
        """Note that of the decisions up to this one all users are filled."""
        rest = [one for one in self.warmings if one.seq > seq]
        await self._keep({WARM_KEY: msgspec.json.encode(rest) if rest else None})
        log.info("partition %d: features of all users are filled, as decision %d says", self.partition, seq)
        self.wanted.clear()
        self.load()

    def _lacking(self, windows: Mapping[str, Window]) -> Iterator[tuple[KeptWarming, Mapping[str, Window]]]:
        lacking = {user: window for user, window in windows.items() if self.lacks(window)}
        for warming in self.warmings:
            offset = warming.from_offset
            if those := {user: one for user, one in lacking.items() if one.last_offset < offset}:
                yield warming, those

    async def _filled(self, warming: KeptWarming, windows: Mapping[str, Window]) -> Mapping[str, Window]:
        def begin() -> Filling:
            return Filling(warming.features, windows, self.teaches)

        (await self.history.past([*windows], warming.since, begin)).finish()
        return windows

    async def _keep(self, changes: Mapping[bytes, bytes | None]) -> None:
        offset = await self.output.apply(changes)
        self.store.write(self.partition, [*changes.items()], offset)
