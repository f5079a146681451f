"""Lists of texts by name, which rules ask with `in_list`: changed by decisions of bounded size."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec

Change = Literal["put", "add", "remove"]
LONGEST_NAME: Final = 64
LONGEST_ENTRY: Final = 256
MOST_ENTRIES: Final = 2_000_000
"""Of one change."""
_PART_BYTES = 600_000  # as JSON; a decision has at most 900,000
_BESIDE = 3  # the quotes of an entry, and its comma


class ListFaultError(ValueError):
    """A name or an entry that cannot be kept; the message says why."""


class ListChange(msgspec.Struct, frozen=True):
    """A part of a change: the body of a decision. The change holds once its last part is there."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
    change: Change
    part: int
    """From 0 on."""
    more: int
    """How many parts still follow."""
    count: int
    """How many entries the part has."""
    entries: Sequence[str] = ()


def changes(name: str, change: Change, entries: Iterable[str]) -> list[ListChange]:
    """The parts of a change; each entry once, in order.

    Raises:
        ListFaultError: The name or an entry cannot be kept, or there are too many.
    """
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ListFaultError(f"a list's name has 1 to {LONGEST_NAME} printable characters")
    each = sorted(set(entries))
    if len(each) > MOST_ENTRIES:
        raise ListFaultError(f"{len(each):,} entries: at most {MOST_ENTRIES:,} at a time")
    if fault := next(filter(None, map(_fault, each)), ""):
        raise ListFaultError(fault)
    parts = [*_parts(each)]
    return [
        ListChange(name, change, part, len(parts) - 1 - part, len(some), some)
        for part, some in enumerate(parts)
    ]


def _fault(entry: str) -> str:
    """What is wrong with an entry; empty: nothing."""
    if not 1 <= len(entry) <= LONGEST_ENTRY or not entry.isprintable():
        return f"entry {entry[:LONGEST_ENTRY]!r}: an entry has 1 to {LONGEST_ENTRY} printable characters"
    return ""


def _parts(entries: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many entries as fit into a decision at a time; one part of none."""
    begin, size = 0, 0
    for at, entry in enumerate(entries):
        its = len(msgspec.json.encode(entry)) + _BESIDE
        if size + its > _PART_BYTES:
            yield entries[begin:at]
            begin, size = at, 0
        size += its
    yield entries[begin:]
