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
_AMOUNT_LIMIT = 10**20
# The first byte. Windows from before there was a version begin with 1, 2, 4, 5, 8 or 16: the next one is not
# among these, as bytes of one layout may be read in another.
_VERSION = 1
_FIRST_BYTE = bytes([_VERSION])
_FORMER = struct.Struct("<BBqq")
_FORMER_BYTES, _FORMER_WIDTHS = _FORMER.size, {1: 8, 2: 16, 4: 4, 8: 8, 16: 16}
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
    """The window of bytes that `encode_window` made, now or in any version before.

    Raises:
        ValueError: The bytes are no window, or one of a later version.
    """
    if not data.startswith(_FIRST_BYTE):
        return _former(data)
    try:
        _, width, count, last_offset, updated_at, total = _UNPACK(data)
    except struct.error:
        raise ValueError("a window's header is cut short") from None
    end = _HEADER_BYTES + (ID_BYTES + width) * count
    if width not in (_NARROW, _WIDE) or len(data) < end:
        return _former(data)
    window = Window(count, total, last_offset, updated_at, width, data[_HEADER_BYTES:end], data[end:])
    if width == _WIDE:
        window.total = sum(window.amounts)
    if window.state and not _is_sum(window.amounts, total, width):
        return _former(data)
    return window


def _former(data: bytes) -> Window:
    """The window of bytes from before there was a version; of layouts of one length, the one that adds up.

    All begin with a width, the count, offset and time. At first ids and amounts followed, in widths that were
    numbered, then in bytes; then there was the sum before them, and at last each amount was beside its id.
    """
    form, count = [*data[:2], 0, 0][:2]
    if form not in _FORMER_WIDTHS and form != _NARROW:
        raise ValueError(f"a window of version {data[:1].hex()}: this program reads {_FIRST_BYTE.hex()}")
    has_sum = form in (_NARROW, _WIDE) and len(data) == _FORMER_BYTES + 8 + (ID_BYTES + form) * count
    width, start = (form, _FORMER_BYTES + 8) if has_sum else (_FORMER_WIDTHS.get(form, 0), _FORMER_BYTES)
    step = ID_BYTES + width
    if not width or len(data) != start + step * count:
        raise ValueError(
            f"not a window that this program reads: {len(data)} bytes that begin {data[:2].hex()}"
        )
    _, _, last_offset, updated_at = _FORMER.unpack_from(data)
    total, split = int.from_bytes(data[_FORMER_BYTES:start], "little"), start + ID_BYTES * count
    beside = [(at, at + ID_BYTES) for at in range(start, len(data), step)]
    apart = [(start + ID_BYTES * one, split + width * one) for one in range(count)]
    for places in (beside, apart) if has_sum else (apart,):
        amounts = [int.from_bytes(data[at : at + width], "little") for _, at in places]
        if _is_sum(amounts, total, form):
            ids = [data[at : at + ID_BYTES] for at, _ in places]
            return Window.of(amounts, ids, last_offset=last_offset, updated_at=updated_at)
    raise ValueError("not a window: its amounts are not what their sum is")


def _is_sum(amounts: Sequence[int], total: int, width: int) -> bool:
    """Whether they can be the amounts of a sum, which is kept for narrow ones alone."""
    return sum(amounts) == total if width == _NARROW else max(amounts, default=0) < _AMOUNT_LIMIT
