"""One user's recent past, packed: joining it and judging by it unpack nothing but the amount that leaves."""

import struct
from typing import Self

import msgspec

ID_BYTES = 16
USUAL_WIDTH, WIDEST = 5, 16
# Amounts below this (11 billion units, say) take so many bytes each; what is above takes the most.
_LIMITS = {USUAL_WIDTH: 1 << 40, WIDEST: 1 << 128}
_HEADER = struct.Struct("<BBqqq")


class Window(msgspec.Struct, gc=False):
    """What the verdict on a user's next transaction depends on, at most 255 transactions.

    >>> window = Window.of([100, 103])
    >>> window.push(50, size=2)
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
    width: int = USUAL_WIDTH
    """How many bytes an amount takes in `packed`: 5, or 16 where one of them needs it."""
    packed: bytes = b""
    """The amounts in hundredths, oldest first, little-endian."""
    ids: bytes = b""
    """The transactions' ids, oldest first, 16 bytes each."""

    @classmethod
    def of(cls, amounts: list[int], ids: bytes = b"", *, last_offset: int = -1, updated_at: int = 0) -> Self:
        """A window of these amounts."""
        window = cls(last_offset=last_offset, updated_at=updated_at, ids=ids)
        window._pack(amounts)
        return window

    @property
    def amounts(self) -> list[int]:
        """The amounts in hundredths, oldest first."""
        width, packed = self.width, self.packed
        return [int.from_bytes(packed[at : at + width], "little") for at in range(0, len(packed), width)]

    @property
    def mean(self) -> int:
        """The amounts' mean in whole hundredths, half to even; 0 for none.

        >>> Window.of([100, 103]).mean, Window.of([1, 2]).mean, Window().mean
        (102, 2, 0)
        """
        whole, rest = divmod(self.total, self.count or 1)
        return whole + (2 * rest > self.count or (2 * rest == self.count and whole % 2))

    def push(self, amount: int, size: int) -> None:
        """Let an amount join and the oldest beyond `size` leave."""
        width, packed = self.width, self.packed
        if amount >= _LIMITS[USUAL_WIDTH] or width != USUAL_WIDTH or self.count > size:
            self._pack([*self.amounts, amount][-size:])
        elif self.count == size:
            self.total += amount - int.from_bytes(packed[:width], "little")
            self.packed = packed[width:] + amount.to_bytes(width, "little")
        else:
            self.count += 1
            self.total += amount
            self.packed = packed + amount.to_bytes(width, "little")

    def remember(self, transaction_id: bytes) -> None:
        """Keep an id beside its amount; as many are kept as there are amounts."""
        self.ids = (self.ids + transaction_id)[-ID_BYTES * self.count :]

    def holds(self, transaction_id: bytes) -> bool:
        """Whether a transaction of this id is among those in the window."""
        at = self.ids.find(transaction_id)
        while at % ID_BYTES and at > 0:  # a match across two ids is none
            at = self.ids.find(transaction_id, at + 1)
        return at >= 0

    def _pack(self, amounts: list[int]) -> None:
        largest = max(amounts, default=0)
        self.width = next(width for width, limit in _LIMITS.items() if largest < limit)
        self.packed = b"".join([amount.to_bytes(self.width, "little") for amount in amounts])
        self.count, self.total = len(amounts), sum(amounts)


def encode_window(window: Window) -> bytes:
    """The window as bytes: width of an amount, count, last offset, update time, sum, ids, amounts.

    >>> window = Window.of([1, 2], bytes(32), last_offset=7, updated_at=9)
    >>> len(encode_window(window)), decode_window(encode_window(window)) == window
    (68, True)
    """
    total = window.total if window.width < WIDEST else 0  # it may not fit
    header = _HEADER.pack(window.width, window.count, window.last_offset, window.updated_at, total)
    return header + window.ids + window.packed


def decode_window(data: bytes) -> Window:
    """The window that `encode_window` made these bytes of; ValueError for bytes it did not make."""
    try:
        width, count, last_offset, updated_at, total = _HEADER.unpack_from(data)
    except struct.error:
        raise ValueError("a window's header is cut short") from None
    start = _HEADER.size + ID_BYTES * count
    if width not in _LIMITS or len(data) != start + width * count:
        raise ValueError(f"not a window of a known format: {len(data)} bytes, {width} an amount")
    ids, packed = data[_HEADER.size : start], data[start:]
    window = Window(count, total, last_offset, updated_at, width, packed, ids)
    if width == WIDEST:
        window.total = sum(window.amounts)
    return window
