"""A merchant's run of frauds, by its labels as they come, and in five bytes.

It depends on the labels and their order alone, and so is the same on every partition that has seen the same.
"""

import struct
from typing import Final

from stream_app.scoring import MerchantRun

MOST_FRAUDS: Final = 0xFF
"""Longer runs are counted as this long."""
_LONGEST = 0x3FF  # days from the first to the last fraud
_DAY_BITS = 22
_RUN = struct.Struct("<BI")


def with_label(run: MerchantRun | None, day: int, *, fraud: bool, explained: bool) -> MerchantRun | None:
    """The run once the label of a transaction of that day is known; `explained`: by its amount.

    >>> run = None
    >>> for day in (3, 5):
    ...     run = with_label(run, day, fraud=True, explained=False)
    >>> run
    MerchantRun(frauds=2, first=3, last=5)
    >>> with_label(run, 6, fraud=True, explained=True) is with_label(run, 2, fraud=False, explained=False)
    True
    >>> ended = with_label(run, 4, fraud=False, explained=False)
    >>> ended, with_label(ended, 7, fraud=True, explained=False)
    (MerchantRun(frauds=0, first=4, last=4), MerchantRun(frauds=1, first=7, last=7))
    >>> with_label(ended, 3, fraud=True, explained=False) is ended
    True
    """
    if not fraud:
        return MerchantRun(0, day, day) if run is None or day >= run.first else run
    if explained or (run and not run.frauds and day < run.first):
        return run
    if not run or not run.frauds:
        return MerchantRun(1, day, day)
    last = max(run.last, day)
    return MerchantRun(min(run.frauds + 1, MOST_FRAUDS), max(min(run.first, day), last - _LONGEST), last)


def encode_run(run: MerchantRun) -> bytes:
    """The run in five bytes."""
    return _RUN.pack(run.frauds, run.last - run.first << _DAY_BITS | run.first)


def decode_run(packed: bytes) -> MerchantRun:
    """The run that the bytes stand for.

    Raises:
        ValueError: They are not a run's.
    """
    if len(packed) != _RUN.size:
        raise ValueError("not a merchant's run")
    frauds, days = _RUN.unpack(packed)
    first = days & (1 << _DAY_BITS) - 1
    return MerchantRun(frauds, first, first + (days >> _DAY_BITS))
