"""A user's window: a push unpacks nothing but the amount that leaves."""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import msgspec

from stream_app.window.recent import ENTRY_BYTES, KEY_BYTES, RECENT, Note, with_note

ANY_CURRENCY: Final = "\0\0\0"
"""Of a window over all currencies, and of one whose currency is not known yet."""
MOST_CURRENCIES: Final = 32
"""A user who sends more codes loses the window of the one used longest ago: all 17,576 would take 2 MB."""
# Bytes of an amount: 5 while all of the window are below 2^40 hundredths (11 billion units), else 16 for all.
NARROW, WIDE = 5, 16

_NARROW_LIMIT = 1 << 8 * NARROW
_RECENT_BYTES = RECENT * ENTRY_BYTES
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECTION = struct.Struct("<3sBBHq")
_READ_NARROW = struct.Struct("<IB").unpack_from  # in a third of the time of int.from_bytes

# The years that datetime has, in milliseconds: a record may carry any timestamp.
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000, 253_402_300_799_999


class Window(msgspec.Struct, gc=False):
    """What the verdict on a user's next transaction depends on.

    The window is that of the currency used last, of at most 255 transactions; the other currencies' are
    packed in `others`, and change places with it by `use`.

    >>> window = Window.of([100, 103])
    >>> window.push(50, bytes(20), size=2)
    >>> window.amounts, window.count, window.total
    ([103, 50], 2, 153)
    """

    count: int = 0
    """How many transactions there are."""
    total: int = 0
    """The sum of their amounts, in hundredths."""
    last_offset: int = -1
    """The source offset of the user's last transaction or revision; -1: none yet."""
    updated_at: int = 0
    """The timestamp of the last transaction's record, in milliseconds."""
    width: int = NARROW
    """How many bytes an amount takes in `packed`: 5, or 16 where one of them needs it."""
    packed: bytes = b""
    """The amounts, oldest first, little-endian."""
    state: bytes = b""
    """What the detector keeps beside the window, as `stream_app.scoring` packs it."""
    currency: str = ANY_CURRENCY
    """The currency of all that is said above, in capitals."""
    recent: bytes = b""
    """The user's last transactions, oldest first: an entry of 20 bytes each."""
    notes: bytes = b""
    """Those among them that were flagged or revised, as `stream_app.window.recent` packs them."""
    others: bytes = b""
    """The other currencies' windows, those used longest ago first."""

    @classmethod
    def of(cls, amounts: Sequence[int], *, last_offset: int = -1, updated_at: int = 0) -> Self:
        """A window of these amounts."""
        window = cls(last_offset=last_offset, updated_at=updated_at)
        window._pack(amounts)
        return window

    @property
    def amounts(self) -> list[int]:
        """The amounts in hundredths, oldest first."""
        width, packed = self.width, self.packed
        return [int.from_bytes(packed[at : at + width], "little") for at in range(0, len(packed), width)]

    @property
    def recent_keys(self) -> list[int]:
        """The keys of the transactions that would be known again, oldest first."""
        starts = range(0, len(self.recent), ENTRY_BYTES)
        return [int.from_bytes(self.recent[at : at + KEY_BYTES]) for at in starts]

    @property
    def mean(self) -> int:
        """The amounts' mean in whole hundredths, half to even; 0 for none.

        >>> Window.of([100, 103]).mean, Window.of([1, 2]).mean, Window().mean
        (102, 2, 0)
        """
        whole, rest = divmod(self.total, self.count or 1)
        return whole + (2 * rest > self.count or (2 * rest == self.count and whole % 2))

    @property
    def updated(self) -> datetime:
        """`updated_at` in UTC, or the nearest time that there is.

        >>> Window(updated_at=9).updated.isoformat(), Window(updated_at=10**15).updated.year
        ('1970-01-01T00:00:00.009000+00:00', 9999)
        """
        return _EPOCH + timedelta(milliseconds=min(max(self.updated_at, _FIRST_TIME), _LAST_TIME))

    @property
    def by_currency(self) -> "dict[str, Window]":
        """The window of each currency, those used longest ago first; without what all have in common."""
        others = [_of_section(section) for section in sections_of(self.others)]
        return {window.currency: window for window in (*others, self)}

    @property
    def is_new(self) -> bool:
        """Whether nothing has been learnt of any currency."""
        return not (self.count or self.state or self.others)

    def find(self, entry: bytes) -> int:
        """Where among `recent` the transaction of this entry's key is; -1 if it is not."""
        key = entry[:KEY_BYTES]
        at = self.recent.find(key)
        while at > 0 and at % ENTRY_BYTES:  # a match that begins within an entry is none
            at = self.recent.find(key, at + 1)
        return at

    def revise(self, at: int, entry: bytes, note: Note) -> None:
        """Put this entry in the place of the one of its key, and note what there is to know of it."""
        self.recent = self.recent[:at] + entry + self.recent[at + ENTRY_BYTES :]
        self.notes = with_note(self.notes, entry, note)

    def push(self, amount: int, entry: bytes, size: int) -> None:
        """Let a transaction join; the oldest beyond `size` and the oldest of `recent` leave."""
        recent = self.recent
        if len(recent) == _RECENT_BYTES:
            if self.notes and recent[:KEY_BYTES] in self.notes:
                self.notes = with_note(self.notes, recent, None)
            recent = recent[ENTRY_BYTES:]
        self.recent = recent + entry
        count = self.count
        if amount >= _NARROW_LIMIT or self.width != NARROW or count > size:
            self._pack([*self.amounts, amount][-size:])
            return
        packed = self.packed
        if count == size:
            low, high = _READ_NARROW(packed)
            self.total += amount - low - (high << 32)
            packed = packed[NARROW:]
        else:
            self.total += amount
            self.count = count + 1
        self.packed = packed + amount.to_bytes(NARROW, "little")

    def remember(self, entry: bytes) -> None:
        """Let a transaction be known again whose amount does not join."""
        kept = self.count, self.total, self.width, self.packed
        self.push(0, entry, self.count + 1)
        self.count, self.total, self.width, self.packed = kept

    def cut(self, size: int) -> None:
        """Leave the newest `size` amounts."""
        if self.count > size:
            self._pack(self.amounts[-size:])

    def use(self, currency: str) -> int:
        """Make this currency's window the one that is at hand; how many had to go for it.

        A window of no known currency becomes this one's.
        """
        currency, dropped = currency.upper(), 0
        if currency != self.currency != ANY_CURRENCY:
            sections = {section[:3]: section for section in sections_of(self.others)}
            wanted = sections.pop(currency.encode(), None)
            kept = [*sections.values(), self._section()]
            dropped = max(len(kept) - MOST_CURRENCIES + 1, 0)
            self.others = b"".join(kept[dropped:])
            self._unpack(wanted)
        self.currency = currency
        return dropped

    def use_any(self) -> None:
        """Go on with the window at hand as that of all currencies."""
        self.currency, self.others = ANY_CURRENCY, b""

    def restate(self, change: Callable[[str, bytes], bytes]) -> None:
        """Have each currency's state be what this makes of the currency and the state."""
        self.state = change(self.currency, self.state)
        others = [_of_section(section) for section in sections_of(self.others)]
        for one in others:
            one.state = change(one.currency, one.state)
        self.others = b"".join([one._section() for one in others])  # noqa: SLF001 - of this class

    def _pack(self, amounts: Sequence[int]) -> None:
        self.width = width = NARROW if max(amounts, default=0) < _NARROW_LIMIT else WIDE
        self.packed = b"".join([amount.to_bytes(width, "little") for amount in amounts])
        self.count, self.total = len(amounts), sum(amounts)

    def _section(self) -> bytes:
        total = self.total if self.width == NARROW else 0  # it may not fit
        facts = (self.currency.encode(), self.width, self.count, len(self.state), total)
        return _SECTION.pack(*facts) + self.packed + self.state

    def _unpack(self, section: bytes | None) -> None:
        if section is None:
            self.count, self.total, self.width, self.packed, self.state = 0, 0, NARROW, b"", b""
            return
        _, self.width, self.count, _, self.total = _SECTION.unpack_from(section)
        end = _SECTION.size + self.width * self.count
        self.packed, self.state = section[_SECTION.size : end], section[end:]
        if self.width == WIDE:
            self.total = sum(self.amounts)


def _of_section(section: bytes) -> Window:
    window = Window(currency=section[:3].decode())
    window._unpack(section)  # noqa: SLF001 - this module's
    return window


def sections_of(others: bytes) -> list[bytes]:
    """Each currency's section of these.

    Raises:
        ValueError: They are no sections.
    """
    sections, at = [], 0
    while at < len(others):
        try:
            _, width, count, state, _ = _SECTION.unpack_from(others, at)
        except struct.error:
            raise ValueError("a currency's window is cut short") from None
        end = at + _SECTION.size + width * count + state
        if width not in (NARROW, WIDE) or end > len(others):
            raise ValueError("a currency's window is cut short")
        sections.append(others[at:end])
        at = end
    return sections
