"""A window's bytes, in the changelog and in RocksDB."""

import struct
from functools import lru_cache
from itertools import accumulate, pairwise

from stream_app.window.former import FORMER, decode_former
from stream_app.window.recent import ENTRY_BYTES, RECENT
from stream_app.window.window import NARROW, WIDE, Window, sections_of

VERSION = 3
"""The first byte of a window's bytes; never one of `FORMER`."""
_HEADER = struct.Struct("<BBBB3sHIqqq")
_HEADER_BYTES, _PACK, _UNPACK = _HEADER.size, _HEADER.pack, _HEADER.unpack_from
# Most windows of a worker are of a few currencies: one text of each, not one a window.
_text = lru_cache(maxsize=1024)(bytes.decode)


def encode_window(window: Window) -> bytes:
    """The window as bytes: a header with all lengths, amounts, state, recent transactions, notes, others.

    >>> window = Window.of([1, 2], last_offset=7, updated_at=9)
    >>> len(encode_window(window)), decode_window(encode_window(window)).amounts
    (47, [1, 2])
    """
    width, state, recent, notes = window.width, window.state, window.recent, window.notes
    header = _PACK(
        VERSION,
        width,
        window.count,
        len(recent) // ENTRY_BYTES,
        window.currency.encode(),
        len(state),
        len(notes),
        window.last_offset,
        window.updated_at,
        window.total if width == NARROW else 0,  # it may not fit
    )
    return b"".join((header, window.packed, state, recent, notes, window.others))


def is_later(data: bytes) -> bool:
    """Whether these are a window's bytes of a later version, which this program does not read.

    >>> is_later(encode_window(Window())), is_later(bytes([255, 20]))
    (False, True)
    """
    return data[0] != VERSION and data[0] not in FORMER


def decode_window(data: bytes) -> Window:
    """The window of bytes that `encode_window` made, now or in a format before.

    Raises:
        ValueError: The bytes are no window, or one of a later version.
    """
    try:
        version, width, count, recent, code, state, _, offset, at, total = _UNPACK(data)
    except struct.error:
        return decode_former(data)
    end = _HEADER_BYTES + width * count
    its_end = end + state
    if version == VERSION and width == NARROW and len(data) == its_end + recent * ENTRY_BYTES:  # as most have
        packed, currency = data[_HEADER_BYTES:end], _text(code)
        return Window(count, total, offset, at, NARROW, packed, data[end:its_end], currency, data[its_end:])
    return decode_former(data) if version != VERSION else _decode_any(data)


def _decode_any(data: bytes) -> Window:
    """The window of bytes of this version, whatever is in it."""
    _, width, count, recent, code, state, notes, offset, at, total = _UNPACK(data)
    lengths = (width * count, state, recent * ENTRY_BYTES, notes)
    if width not in (NARROW, WIDE) or recent > RECENT or _HEADER_BYTES + sum(lengths) > len(data):
        raise ValueError(f"not a window of a known format: {len(data)} bytes, {width} an amount")
    ends = [*accumulate(lengths, initial=_HEADER_BYTES), len(data)]
    packed, kept, its_recent, its_notes, others = (data[start:end] for start, end in pairwise(ends))
    sections_of(others)  # raises where they are none
    facts = (count, total, offset, at, width, packed, kept, code.decode())
    window = Window(*facts, its_recent, its_notes, others)
    if width == WIDE:
        window.total = sum(window.amounts)
    return window
