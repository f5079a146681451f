"""Values as hashes of four bytes one after the other, newest first."""

from itertools import accumulate

from schemas.rules.features import MOST_VALUES

HASH_BYTES = 4
_MOST = MOST_VALUES * HASH_BYTES


def find(hashes: bytes, wanted: bytes) -> int:
    """Where a hash begins; -1 if it is not there.

    >>> find(b"aaaabbbb", b"bbbb"), find(b"aaaabbbb", b"aabb")
    (4, -1)
    """
    at = hashes.find(wanted)
    while at > 0 and at % HASH_BYTES:  # a match that begins within another hash is none
        at = hashes.find(wanted, at + 1)
    return at


def with_value(hashes: bytes, value: bytes) -> bytes:
    r"""How many and the hashes, with this value at the front; the one that came longest ago may give way.

    >>> with_value(b"aaaabbbb", b"bbbb")
    b'\x02bbbbaaaa'
    """
    if value:
        at = find(hashes, value)
        if at < 0:
            hashes = value + hashes[: _MOST - HASH_BYTES]
        elif at:
            hashes = value + hashes[:at] + hashes[at + HASH_BYTES :]
    return bytes((len(hashes) // HASH_BYTES,)) + hashes


def with_last(counts: bytes, hashes: bytes, value: bytes) -> bytes:
    r"""How many values came last in each step, newest first, and their hashes, with one in the first.

    >>> with_last(b"\x01\x01", b"aaaabbbb", b"bbbb")
    b'\x02\x00bbbbaaaa'
    """
    at = find(hashes, value)
    if 0 <= at < counts[0] * HASH_BYTES:
        return counts + hashes
    if at >= 0:
        hashes = hashes[:at] + hashes[at + HASH_BYTES :]
        counts = _one_less(counts, _step_of(counts, at // HASH_BYTES))
    elif len(hashes) == _MOST:
        hashes = hashes[:-HASH_BYTES]
        counts = _one_less(counts, len(counts.rstrip(b"\0")) - 1)
    return bytes((counts[0] + 1,)) + counts[1:] + value + hashes


def _one_less(counts: bytes, step: int) -> bytes:
    return counts[:step] + bytes((counts[step] - 1,)) + counts[step + 1 :]


def _step_of(counts: bytes, place: int) -> int:
    """The step in which the value at this place came last."""
    return next(step for step, until in enumerate(accumulate(counts)) if place < until)
