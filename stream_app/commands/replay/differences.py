"""What a replay finds: how many verdicts are as they were given, and which are not, and why."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from schemas.scored import FIRST_REVISION

Row = Mapping[str, Any]
"""A row of Postgres: its columns as JSON has them."""
Pair = tuple[Row | None, Row]
"""A row as Postgres has it, and as the replay has it."""

SAME, REVISED, AGAIN = "same", "revised", "again"
DIFFERENT, UNPROVEN, DROPPED, OPEN = "different", "unproven", "dropped", "open"
_KEPT = 10
_NOTHING = "absent"


class Origin(msgspec.Struct, frozen=True):
    """A transaction, and where it came from."""

    partition: int
    offset: int
    id: str
    user_id: str
    txn_date: str


class Field(msgspec.Struct, frozen=True):
    """A column, or a value in `meta_data`, that differs."""

    name: str
    given: Any
    replayed: Any


class Gap(msgspec.Struct, frozen=True, omit_defaults=True):
    """Offsets in which what differs proves nothing, as what is needed for them was not kept."""

    start: int
    why: str
    end: int | None = None
    """None: to the end."""
    spreads: bool = False
    """Whether it goes on to the end once something differs in it."""
    fills: bool = False
    """Whether it is no gap for who has had a window full of transactions since, if nothing else is kept."""

    def covers(self, offset: int) -> bool:
        """Whether the offset is one of them."""
        return self.start <= offset and (self.end is None or offset < self.end)


class Mismatch(msgspec.Struct, frozen=True):
    """A verdict that is another than the row says."""

    place: Origin
    fields: Sequence[Field]
    why: str
    by: int = 0
    """The newest decision that held."""
    is_full: bool = False
    """Whether all that it depends on was seen: a full window, and no state."""

    @classmethod
    def of(cls, place: Origin, pair: Pair, by: int = 0, *, is_full: bool = False) -> "Mismatch":
        """What differs, and why as far as it can be told."""
        given, replayed = pair
        fields = [] if given is None else [*_fields(given, replayed)]
        return cls(place, fields, _why(given, replayed, fields), by, is_full)


class PartitionFindings(msgspec.Struct):
    """What came of a partition's verdicts."""

    partition: int
    begins: int
    """The first offset of which it is known what arrived."""
    ends: int
    """The offset before which Postgres had all rows at the start."""
    decision: int = 0
    """The newest decision that was applied."""
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    differences: list[Mismatch] = msgspec.field(default_factory=list)
    """The first ones that prove something."""
    unproven: list[Mismatch] = msgspec.field(default_factory=list)
    """The first ones in gaps."""
    gaps: list[Gap] = msgspec.field(default_factory=list)

    def add(self, difference: Mismatch) -> None:
        """Take note of a difference."""
        at, full = difference.place.offset, difference.is_full
        around = [gap for gap in self.gaps if gap.covers(at) and not (gap.fills and full)]
        self.gaps += [Gap(gap.end, gap.why) for gap in around if gap.spreads and gap.end is not None]
        in_gap = bool(around)
        self.counts[UNPROVEN if in_gap else DIFFERENT] += 1
        kept = self.unproven if in_gap else self.differences
        if len(kept) < _KEPT:
            kept.append(difference)


def _revision_of(row: Row) -> int:
    """The number of the row's content; 0 of the first."""
    number = row["meta_data"].get("revision", 0)
    return number if type(number) is int and number >= FIRST_REVISION else 0


def _fields(given: Row, replayed: Row) -> Iterator[Field]:
    """The columns, with those of `meta_data` apart, that are not the same in both."""
    was, now = _flat(given), _flat(replayed)
    for name in now | was:
        if (one := was.get(name, _NOTHING)) != (other := now.get(name, _NOTHING)):
            yield Field(name, one, other)


def _flat(row: Row) -> dict[str, Any]:
    meta = {f"meta_data.{name}": value for name, value in row["meta_data"].items()}
    return {name: value for name, value in row.items() if name != "meta_data"} | meta


def _why(given: Row | None, replayed: Row, fields: Sequence[Field]) -> str:
    if given is None:
        return "Postgres has no such row: it was deleted, or its key was changed"
    if _revision_of(given) > _revision_of(replayed):
        return "the row says that it was revised, which no record says that was stored at the start"
    if not all(field.name.startswith("meta_data.") for field in fields):
        return "the row's content is not that of the record: it was changed in Postgres"
    rules = [row["meta_data"].get("rule") for row in (given, replayed)]
    if None not in rules and rules[0] != rules[1]:
        return (
            f"the row is by rule {rules[0]}, and what is set and was decided comes to rule {rules[1]} here: "
            "the worker's settings or version were others, or Postgres lacks a decision"
        )
    return (
        "the row was changed in Postgres, or scored by other settings than these, or with a window of "
        "another partition or beginning"
    )
