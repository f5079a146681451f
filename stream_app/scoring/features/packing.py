"""A user's past as bytes, which say of themselves what they have.

    form, number of parts, the parts' codes
    newest time and one, count and total of all
    of each tier a bitmap: bit i is set where the step i before that of the newest time has something
    for each tier:
        of each such step, newest first, where amounts are kept: count and total of all that is before it
        of each such step, where the largest are kept: the largest, one more than it is; 0 where not known
        for each field: of each such step how many values came last in it; hashes of them, newest first
    for each field whose values alone are kept: how many, and their hashes, newest first

Count and total run on: what a window has is the difference of two places, however many steps it has.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from schemas.rules.features import MOST_VALUES, STEPS
from stream_app.scoring.features.layout import AMOUNTS, LARGEST, SEEN, Part, in_order, part_of_code, tiers_in
from stream_app.scoring.features.past import Bucket, Past
from stream_app.scoring.features.values import HASH_BYTES

COUNT_BYTES, TOTAL_BYTES = (2, 4, 4), (4, 8, 12)
"""Of each form."""
BITMAP_BYTES = (38, 8, 12)
"""Of each tier: room for the longest window and a day."""
NEWEST_BYTES = 8
_FORMS = (0, 1, 2)
# Far above what anybody's are, and what is added to them still fits into the widest form.
_MOST_COUNT_BITS, _MOST_TOTAL_BITS = 31, 95
_DAMAGED = "the state of features is cut short or damaged"


def pack(past: Past, parts: Sequence[Part]) -> bytes:
    """The bytes of what these parts keep, in the narrowest form that they fit in."""
    counted = [past.tiers[part.tier].values() for part in parts if part.kind == AMOUNTS]
    count = max((sum(one.count for one in its) for its in counted), default=0)
    total = max((sum(one.total for one in its) for its in counted), default=0)
    largest = [past.tiers[part.tier].values() for part in parts if part.kind == LARGEST]
    most = max(total, *(one.largest + 1 for its in largest for one in its), 0)
    form = next(at for at in _FORMS if count >> 8 * COUNT_BYTES[at] == most >> 8 * TOTAL_BYTES[at] == 0)
    data = [bytes([form, len(parts), *(part.code for part in parts)]), _number(past.newest + 1, NEWEST_BYTES)]
    data += [*_amount(form, count, total), *(_bitmap(past, tier) for tier in tiers_in(parts))]
    for tier in tiers_in(parts):
        its = [part for part in parts if part.kind != SEEN and part.tier == tier]
        data += _packed_tier(past, form, its, count, total)
    for part in parts:
        if part.kind == SEEN:
            data += [bytes([len(past.values[part])]), _hashes(past.values[part])]
    return b"".join(data)


def _packed_tier(past: Past, form: int, parts: Sequence[Part], count: int, total: int) -> Iterator[bytes]:
    buckets = past.tiers[parts[0].tier]
    steps = sorted(buckets, reverse=True)
    for part in parts:
        if part.kind == AMOUNTS:
            for step in steps:
                count, total = count - buckets[step].count, total - buckets[step].total
                yield from _amount(form, count, total)
        elif part.kind == LARGEST:
            yield from (_number(buckets[step].largest + 1, TOTAL_BYTES[form]) for step in steps)
        else:
            values = past.values[part]
            counts = Counter(step for _, step in values)
            yield bytes([counts[step] for step in steps])
            yield _hashes(values)


def _bitmap(past: Past, tier: int) -> bytes:
    newest = past.newest // STEPS[tier]
    return _number(sum(1 << newest - step for step in past.tiers[tier]), BITMAP_BYTES[tier])


def _amount(form: int, count: int, total: int) -> tuple[bytes, bytes]:
    return _number(count, COUNT_BYTES[form]), _number(total, TOTAL_BYTES[form])


def _hashes(values: Sequence[tuple[bytes, int]]) -> bytes:
    return b"".join(value for value, _ in values)


def _number(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")


def parts_in(data: bytes) -> list[Part]:
    """The parts that a state has, by its head."""
    return [part_of_code(code) for code in data[2 : 2 + data[1]]] if data else []


def newest_in(data: bytes) -> int:
    """The newest time and one, by its head."""
    start = 2 + data[1]
    return int.from_bytes(data[start : start + NEWEST_BYTES], "little")


def unpack(data: bytes) -> Past:
    """What the bytes have, whatever parts they were packed for.

    Raises:
        ValueError: They are no state of features.
    """
    reader = _Reader(data)
    form, count = reader.number(1), reader.number(1)
    if form not in _FORMS:
        raise ValueError("the state of features is of a form that there is not")
    parts = [part_of_code(code) for code in reader.take(count)]
    if parts != in_order(parts):
        raise ValueError(_DAMAGED)
    past = Past(reader.number(NEWEST_BYTES) - 1)
    before = reader.amount(form)
    if before[0] >> _MOST_COUNT_BITS or before[1] >> _MOST_TOTAL_BITS:
        raise ValueError(_DAMAGED)
    bitmaps = {tier: reader.number(BITMAP_BYTES[tier]) for tier in tiers_in(parts)}
    for tier, bitmap in bitmaps.items():
        newest = past.newest // STEPS[tier]
        past.tiers[tier] = {newest - bit: Bucket() for bit in range(bitmap.bit_length()) if bitmap >> bit & 1}
        its = [part for part in parts if part.kind != SEEN and part.tier == tier]
        _unpack_tier(reader, past, its, form, before)
    for part in parts:
        if part.kind == SEEN:
            past.values[part] = [(value, 0) for value in reader.hashes(reader.number(1))]
    reader.end()
    return past


def _unpack_tier(
    reader: "_Reader", past: Past, parts: Sequence[Part], form: int, before: tuple[int, int]
) -> None:
    buckets = past.tiers[parts[0].tier]
    for part in parts:
        if part.kind == AMOUNTS:
            for bucket in buckets.values():
                row = reader.amount(form)
                after, before = before, (min(before[0], row[0]), min(before[1], row[1]))
                bucket.count, bucket.total = after[0] - before[0], after[1] - before[1]
        elif part.kind == LARGEST:
            for bucket in buckets.values():
                bucket.largest = reader.number(TOTAL_BYTES[form]) - 1
        else:
            counts = reader.take(len(buckets))
            steps = [step for step, count in zip(buckets, counts, strict=True) for _ in range(count)]
            if len(steps) > MOST_VALUES:
                raise ValueError(_DAMAGED)
            past.values[part] = [*zip(reader.hashes(len(steps)), steps, strict=True)]


class _Reader:
    """Takes bytes from the front; there are too few in damaged ones."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        at, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise ValueError(_DAMAGED)
        return self._data[at : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def amount(self, form: int) -> tuple[int, int]:
        return self.number(COUNT_BYTES[form]), self.number(TOTAL_BYTES[form])

    def hashes(self, count: int) -> list[bytes]:
        return [self.take(HASH_BYTES) for _ in range(count)]

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError(_DAMAGED)
