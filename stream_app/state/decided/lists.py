"""Lists as notes of a partition: the parts as they were decided, and an index of those that hold.

Small changes are merged as they come, so that there are few, and their merging costs little: one is merged
with the one before while that is at most twice as large.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from weakref import WeakValueDictionary

import msgspec

from schemas.decision import Decision
from schemas.lists import ListChange
from stream_app.scoring.rules.lists import ChangedEntries, Entries

LISTS_KEY = b"\0decided-lists"
_MERGED_BYTES = 400_000  # a note is a record of the changelog, of at most 1 MiB
_IN, _OUT = "+", "-"

Notes = dict[bytes, bytes | None]
Kept = Callable[[bytes], bytes | None]
"""What the partition has under a key."""


class ListPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of a list, kept under the number of its decision."""

    seq: int
    size: int
    """In bytes."""
    is_base: bool
    """Whether it is of what the list was put to, and not of what was changed since."""


class KeptList(msgspec.Struct, array_like=True):
    """What a partition has of a list."""

    held: list[ListPart] = []
    coming: list[ListPart] = []
    """Of a change whose last part is not there yet."""


class ListIndex(msgspec.Struct):
    """Every list that was decided."""

    lists: dict[str, KeptList] = {}

    @classmethod
    def decode(cls, note: bytes | None) -> "ListIndex":
        """What is kept under LISTS_KEY; none, where nothing is."""
        return msgspec.json.decode(note, type=cls) if note else cls()

    def held(self, name: str) -> tuple[ListPart, ...]:
        """The parts that make the list; of a list that there is not, none."""
        return tuple(self.lists[name].held) if name in self.lists else ()


def note_list(decision: Decision, notes: Notes, kept: Kept) -> None:
    """Add what a decision on a list leaves.

    Raises:
        msgspec.ValidationError: It is none.
    """
    change = msgspec.convert(decision.body, ListChange)
    index = ListIndex.decode(_now(LISTS_KEY, notes, kept))
    its = index.lists.setdefault(change.name, KeptList())
    sign = _OUT if change.change == "remove" else _IN
    lines = dict.fromkeys(change.entries, sign)
    its.coming.append(_part(decision.seq, lines, notes, is_base=change.change == "put"))
    if not change.more:
        _hold(its, notes, kept)
    notes[LISTS_KEY] = msgspec.json.encode(index)


def _hold(its: KeptList, notes: Notes, kept: Kept) -> None:
    """Have a change hold whose parts are all there."""
    if its.coming[0].is_base:
        notes.update(dict.fromkeys((_key(part.seq) for part in its.held), None))
        its.held = []
    for part in its.coming:
        its.held.append(part)
        while len(its.held) > 1 and _are_merged(*its.held[-2:]):
            last, former = its.held.pop(), its.held.pop()
            lines = _lines(former, notes, kept) | _lines(last, notes, kept)
            notes[_key(former.seq)] = None
            its.held.append(_part(last.seq, lines, notes, is_base=False))
    its.coming = []


def _are_merged(former: ListPart, last: ListPart) -> bool:
    small = former.size <= 2 * last.size and former.size + last.size <= _MERGED_BYTES
    return small and not former.is_base


def _part(seq: int, lines: Mapping[str, str], notes: Notes, *, is_base: bool) -> ListPart:
    note = "\n".join(sign + entry for entry, sign in lines.items()).encode()
    notes[_key(seq)] = note
    return ListPart(seq, len(note), is_base)


def _lines(part: ListPart, notes: Notes, kept: Kept) -> dict[str, str]:
    """Each entry of a part, with its sign."""
    return {line[1:]: line[0] for line in _text(part, notes, kept)}


def _text(part: ListPart, notes: Notes, kept: Kept) -> list[str]:
    """The lines of a part."""
    note = _now(_key(part.seq), notes, kept)
    return note.decode().split("\n") if note else []


def _now(key: bytes, notes: Notes, kept: Kept) -> bytes | None:
    return notes[key] if key in notes else kept(key)


def _key(seq: int) -> bytes:
    return LISTS_KEY + b":%d" % seq


class Lists:
    """Makes lists of their parts; partitions share what they were put to."""

    def __init__(self) -> None:
        self._bases = WeakValueDictionary[tuple[int, ...], Entries]()

    def of(self, parts: Sequence[ListPart], kept: Kept) -> Container[str]:
        """The list that these parts make: the same numbers are the same parts, in every partition."""
        base = [part for part in parts if part.is_base]
        rest = [part for part in parts if not part.is_base]
        return ChangedEntries(self._base(base, kept), _entries(rest, kept))

    def _base(self, parts: Sequence[ListPart], kept: Kept) -> Entries:
        key = tuple(part.seq for part in parts)
        entries = self._bases.get(key)
        if entries is None:
            texts = [line[1:] for part in parts for line in _text(part, {}, kept)]
            entries = self._bases[key] = Entries(texts)
        return entries


def _entries(parts: Iterable[ListPart], kept: Kept) -> dict[str, bool]:
    """What these say of each entry, the last first."""
    lines: dict[str, str] = {}
    for part in parts:
        lines |= _lines(part, {}, kept)
    return {entry: sign == _IN for entry, sign in lines.items()}
