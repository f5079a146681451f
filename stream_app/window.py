"""A user's last transactions, packed: a push unpacks nothing but the amount that leaves."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

ID_BYTES = 16
# Bytes of an amount: 5 while all of the window are below 2^40 hundredths (11 billion units), else 16 for all.
_NARROW, _WIDE = 5, 16
_NARROW_LIMIT = 1 << 8 * _NARROW
_NARROW_ENTRY = ID_BYTES + _NARROW
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The first byte. Never 5 or 16: windows written before there was a version begin with the width.
_VERSION = 1
_FIRST_BYTE, _FIRST_BYTES_BEFORE = bytes([_VERSION]), (bytes([_NARROW]), bytes([_WIDE]))
_HEADER = struct.Struct("<BBBqqq")
_HEADER_BYTES, _PACK, _UNPACK = _HEADER.size, _HEADER.pack, _HEADER.unpack_from

# The years that datetime has, in milliseconds: a record may carry any timestamp.
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
    width: int = _NARROW
    """How many bytes an amount takes in `entries`: 5, or 16 where one of them needs it."""
    entries: bytes = b""
    """The transactions, oldest first: each the 16 bytes of its id and its amount, little-endian."""
    state: bytes = b""
    """What the detector keeps of the user beside the window, as `stream_app.scoring` packs it."""

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
        width, step, entries = self.width, ID_BYTES + self.width, self.entries
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
        if amount >= _NARROW_LIMIT or self.width != _NARROW or self.count > size:
            self._pack([*self.amounts, amount][-size:], [*self.ids, transaction_id][-size:])
            return
        entries = self.entries
        if self.count == size:
            self.total -= int.from_bytes(entries[ID_BYTES:_NARROW_ENTRY], "little")
            entries = entries[_NARROW_ENTRY:]
        else:
            self.count += 1
        self.total += amount
        self.entries = entries + transaction_id + amount.to_bytes(_NARROW, "little")

    def _pack(self, amounts: Sequence[int], ids: Sequence[bytes]) -> None:
        self.width = width = _NARROW if max(amounts, default=0) < _NARROW_LIMIT else _WIDE
        self.entries = b"".join(
            [one + amount.to_bytes(width, "little") for one, amount in zip(ids, amounts, strict=True)]
        )
        self.count, self.total = len(amounts), sum(amounts)


def encode_window(window: Window) -> bytes:
    """The window as bytes: version, width of an amount, count, last offset, update time, sum, entries, state.

    >>> window = Window.of([1, 2], last_offset=7, updated_at=9)
    >>> len(encode_window(window)), decode_window(encode_window(window)).amounts
    (69, [1, 2])
    """
    width = window.width
    total = window.total if width == _NARROW else 0  # it may not fit
    header = _PACK(_VERSION, width, window.count, window.last_offset, window.updated_at, total)
    return header + window.entries + window.state


def decode_window(data: bytes) -> Window:
    """The window of bytes that `encode_window` made, now or before windows had a version.

    Raises:
        ValueError: The bytes are no window, or one of a later version.
    """
    if not (has_version := data.startswith(_FIRST_BYTE)):
        if not data.startswith(_FIRST_BYTES_BEFORE):
            raise ValueError(f"a window of version {data[:1].hex()}: this program reads {_FIRST_BYTE.hex()}")
        data = _FIRST_BYTE + data
    try:
        _, width, count, last_offset, updated_at, total = _UNPACK(data)
    except struct.error:
        raise ValueError("a window's header is cut short") from None
    end = _HEADER_BYTES + (ID_BYTES + width) * count
    if width not in (_NARROW, _WIDE) or len(data) < end or (len(data) > end and not has_version):
        raise ValueError(f"not a window of a known format: {len(data)} bytes, {width} an amount")
    window = Window(count, total, last_offset, updated_at, width, data[_HEADER_BYTES:end], data[end:])
    if width == _WIDE:
        window.total = sum(window.amounts)
    return window
