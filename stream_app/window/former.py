"""Windows as they were written before: one a user, with the whole ids of its transactions.

Its currency is that of the user's next transaction. The content of its transactions is not known: the same
id is a duplicate.
"""

import struct
from collections.abc import Sequence

from stream_app.window.recent import RECENT, unknown
from stream_app.window.window import NARROW, WIDE, Window

_VERSION_1 = struct.Struct("<BBBqqq")
# Layouts from before there was a version begin with a width: at first it was numbered, then in bytes.
_HEADER = struct.Struct("<BBqq")
_ID_BYTES = 16
_WITH_SUM = _HEADER.size + 8
_WIDTHS = {1: 8, 2: 16, 4: 4, 8: 8, 16: 16}
FORMER = frozenset([NARROW, *_WIDTHS])
"""What windows of before begin with."""
_AMOUNT_LIMIT = 10**20


def decode_former(data: bytes) -> Window:
    """The window of bytes of version 1, or of before there was one.

    Raises:
        ValueError: The bytes are no window, or one of a later version.
    """
    if not data.startswith(b"\1") or len(data) < _VERSION_1.size:
        return _before_versions(data)
    _, width, count, last_offset, updated_at, total = _VERSION_1.unpack_from(data)
    start, step = _VERSION_1.size, _ID_BYTES + width
    end = start + step * count
    if width not in (NARROW, WIDE) or len(data) < end:
        return _before_versions(data)
    entries = [data[at : at + step] for at in range(start, end, step)]
    amounts = [int.from_bytes(entry[_ID_BYTES:], "little") for entry in entries]
    if len(data) > end and not _is_sum(amounts, total, width):
        return _before_versions(data)
    window = _window([entry[:_ID_BYTES] for entry in entries], amounts, last_offset, updated_at)
    window.state = data[end:]
    return window


def _before_versions(data: bytes) -> Window:
    """Of layouts of one length, the one that adds up.

    After width, count, offset and time followed at first ids and amounts; then there was the sum before them,
    and at last each amount was beside its id.
    """
    form, count = [*data[:2], 0, 0][:2]
    if form not in FORMER:
        raise ValueError(f"a window of version {data[:1].hex()}: this program reads up to 03")
    has_sum = form in (NARROW, WIDE) and len(data) == _WITH_SUM + (_ID_BYTES + form) * count
    width, start = (form, _WITH_SUM) if has_sum else (_WIDTHS.get(form, 0), _HEADER.size)
    if not width or len(data) != start + (_ID_BYTES + width) * count:
        raise ValueError(
            f"not a window that this program reads: {len(data)} bytes that begin {data[:2].hex()}"
        )
    _, _, last_offset, updated_at = _HEADER.unpack_from(data)
    total = int.from_bytes(data[_HEADER.size : start], "little")
    for places in _places(data, start, width, count)[0 if has_sum else 1 :]:
        amounts = [int.from_bytes(data[at : at + width], "little") for _, at in places]
        if _is_sum(amounts, total, form):
            return _window([data[at : at + _ID_BYTES] for at, _ in places], amounts, last_offset, updated_at)
    raise ValueError("not a window: its amounts are not what their sum is")


def _places(data: bytes, start: int, width: int, count: int) -> list[list[tuple[int, int]]]:
    """Where each id and its amount are: beside each other, and all ids before all amounts."""
    beside = [(at, at + _ID_BYTES) for at in range(start, len(data), _ID_BYTES + width)]
    split = start + _ID_BYTES * count
    return [beside, [(start + _ID_BYTES * one, split + width * one) for one in range(count)]]


def _is_sum(amounts: Sequence[int], total: int, width: int) -> bool:
    """Whether they can be the amounts of a sum, which is kept for narrow ones alone."""
    return sum(amounts) == total if width == NARROW else max(amounts, default=0) < _AMOUNT_LIMIT


def _window(ids: Sequence[bytes], amounts: Sequence[int], last_offset: int, updated_at: int) -> Window:
    window = Window.of(amounts, last_offset=last_offset, updated_at=updated_at)
    window.recent = b"".join(map(unknown, ids[-RECENT:]))
    return window
