"""One user's recent past, packed: joining it and judging by it unpack nothing but the amount that leaves."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

ID_BYTES = 16
# An amount takes so many bytes where all are below 2^40 (11 billion units), and the most where one is not.
USUAL_WIDTH, WIDEST = 5, 16
_USUAL_LIMIT = 1 << 8 * USUAL_WIDTH
_USUAL_ENTRY = ID_BYTES + USUAL_WIDTH
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER = struct.Struct("<BBqqq")


# In milliseconds, the years that datetime has: a record may say any time.
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000, 253_402_300_799_999


class Window(msgspec.Struct, gc=False):
    """What the verdict on a user's next transaction depends on, at most 255 transactions.

    >>> window = Window.of([100, 103])
    >>> window.push(50, bytes(16), size=2)
    >>> window.amounts, window.count, window.total
    ([103, 50], 2, 153)
    """

    count: int = 0
    """How many transactions there are."""
    total: int = 0
    """The sum of their amounts, in hundredths."""
    last_offset: int = -1
    """The source offset of the last transaction that joined; -1: none yet."""
    updated_at: int = 0
    """Its record's timestamp, in milliseconds."""
    read_offset: int = -1
    """`last_offset` when the window was read; neither this nor `joined` is part of its bytes."""
    joined: int = 0
    """How many transactions have joined since."""
    width: int = USUAL_WIDTH
    """How many bytes an amount takes in `entries`: 5, or 16 where one of them needs it."""
    entries: bytes = b""
    """The transactions, oldest first: each the 16 bytes of its id and its amount, little-endian."""

    @classmethod
    def of(
        cls, amounts: Sequence[int], ids: Sequence[bytes] = (), *, last_offset: int = -1, updated_at: int = 0
    ) -> Self:
        """A window of these amounts, of transactions with these ids (all 0 when there are none)."""
        window = cls(last_offset=last_offset, updated_at=updated_at)
        window._pack(amounts, ids or [bytes(ID_BYTES)] * len(amounts))
        return window

    @property
    def amounts(self) -> list[int]:
        """The amounts in hundredths, oldest first."""
        return self.newest(self.count)

    def newest(self, count: int) -> list[int]:
        """The last `count` amounts, oldest first."""
        width, step = self.width, ID_BYTES + self.width
        entries = self.entries[-step * count :] if count else b""
        return [
            int.from_bytes(entries[at - width : at], "little") for at in range(step, len(entries) + 1, step)
        ]

    @property
    def ids(self) -> list[bytes]:
        """The ids of the same transactions."""
        starts = range(0, len(self.entries), ID_BYTES + self.width)
        return [self.entries[at : at + ID_BYTES] for at in starts]

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

    def holds(self, transaction_id: bytes) -> bool:
        """Whether a transaction of this id is among those in the window."""
        at = self.entries.find(transaction_id)
        while at > 0 and at % (ID_BYTES + self.width):  # a match that begins within an entry is none
            at = self.entries.find(transaction_id, at + 1)
        return at >= 0

    def push(self, amount: int, transaction_id: bytes, size: int) -> None:
        """Let a transaction join and the oldest beyond `size` leave."""
        self.joined += 1
        if amount >= _USUAL_LIMIT or self.width != USUAL_WIDTH or self.count > size:
            self._pack([*self.amounts, amount][-size:], [*self.ids, transaction_id][-size:])
            return
        entries = self.entries
        if self.count == size:
            self.total -= int.from_bytes(entries[ID_BYTES:_USUAL_ENTRY], "little")
            entries = entries[_USUAL_ENTRY:]
        else:
            self.count += 1
        self.total += amount
        self.entries = entries + transaction_id + amount.to_bytes(USUAL_WIDTH, "little")

    def _pack(self, amounts: Sequence[int], ids: Sequence[bytes]) -> None:
        self.width = width = USUAL_WIDTH if max(amounts, default=0) < _USUAL_LIMIT else WIDEST
        self.entries = b"".join(
            [one + amount.to_bytes(width, "little") for one, amount in zip(ids, amounts, strict=True)]
        )
        self.count, self.total = len(amounts), sum(amounts)


def encode_window(window: Window) -> bytes:
    """The window as bytes: width of an amount, count, last offset, update time, sum, entries.

    >>> window = Window.of([1, 2], last_offset=7, updated_at=9)
    >>> len(encode_window(window)), decode_window(encode_window(window)).amounts
    (68, [1, 2])
    """
    width = window.width
    total = window.total if width == USUAL_WIDTH else 0  # it may not fit
    return _HEADER.pack(width, window.count, window.last_offset, window.updated_at, total) + window.entries


def decode_window(data: bytes) -> Window:
    """The window that `encode_window` made these bytes of; ValueError for bytes it did not make."""
    try:
        width, count, last_offset, updated_at, total = _HEADER.unpack_from(data)
    except struct.error:
        raise ValueError("a window's header is cut short") from None
    entries = data[_HEADER.size :]
    if width not in (USUAL_WIDTH, WIDEST) or len(entries) != (ID_BYTES + width) * count:
        raise ValueError(f"not a window of a known format: {len(data)} bytes, {width} an amount")
    window = Window(count, total, last_offset, updated_at, last_offset, 0, width, entries)
    if width == WIDEST:
        window.total = sum(window.amounts)
    return window
