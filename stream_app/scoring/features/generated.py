"""Functions written out for a set of features: a loop over its parts would take twice as long.

`advance` reads the features and takes the transaction in, without unpacking the state. It is for transactions
that are no earlier than the newest, and for amounts that fit into the state's form: of others it says None,
or raises `struct.error`, and `Past` is asked. `is_whole` says whether a state has the length that it should.
"""

import ast
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import gcd
from typing import Any
from zlib import crc32

from schemas.rules.features import MOST_VALUES, STEPS, Feature, longest_steps, tier_of
from schemas.transaction import Transaction
from stream_app.scoring.features.layout import (
    AMOUNTS,
    DISTINCT,
    LARGEST,
    SEEN,
    Tier,
    part_of,
    parts_of,
    tiers_of,
)
from stream_app.scoring.features.packing import COUNT_BYTES, TOTAL_BYTES
from stream_app.scoring.features.past import EPOCH, Value
from stream_app.scoring.features.values import find, with_last, with_value

FAST_FORMS = (0, 1)
"""Those whose numbers `struct` packs."""
_LETTERS = {2: "H", 4: "I", 8: "Q"}

# How each tier's bitmap is packed, and read.
_BITMAPS = ("38s", "Q", "QI")
_BITS = ("bits0", "bits1", "bits2, more")
_WHOLE_BITS = ("""    bits0 = number(bits0, "little")\n""", "", "    bits2 |= more << 64\n")
_PACKED_BITS = ("""bits0.to_bytes(38, "little")""", "bits1", "bits2 & 0xFFFFFFFFFFFFFFFF, bits2 >> 64")

_BEGIN = """\
def advance(state, transaction):
    since = transaction.txn_date - EPOCH
    at = since.days * 86400 + since.seconds + 1
    amount = transaction.amount
    _, newest, count, total{bitmaps} = READ_HEAD(state)
    offset = HEAD
"""
_BEGIN_TIER = """\
    had = keep = bits{tier}.bit_count()
    if shift := (at - 1) // {step} - (newest - 1) // {step}:
        if shift < 0:
            return None
        bits{tier} = bits{tier} << shift & {full} if shift < {reach} else 0
        keep = bits{tier}.bit_count()
    is_new = not bits{tier} & 1
    if is_new and keep >= {most}:
        bits{tier} ^= 1 << bits{tier}.bit_length() - 1
        keep -= 1
"""
_IN_WINDOW = """\
    in{tier}_{steps} = (bits{tier} & {mask}).bit_count()
"""
_READ_AMOUNTS = """\
    count{tier}_{steps} = total{tier}_{steps} = 0
    if in{tier}_{steps}:
        count_before, total_before = READ_ROW(state, offset + (in{tier}_{steps} - 1) * ROW)
        count{tier}_{steps}, total{tier}_{steps} = count - count_before, total - total_before
"""
_ADD_AMOUNT = """\
    piece{number} = state[offset : offset + keep * ROW]
    if is_new:
        piece{number} = PACK_ROW(count, total) + piece{number}
    offset += had * ROW
"""
_READ_LARGEST = """\
    largest{tier}_{steps} = max(READ_LARGEST[in{tier}_{steps}](state, offset)) - 1 if in{tier}_{steps} else -1
"""
_ADD_LARGEST = """\
    if is_new:
        piece{number} = PACK_LARGEST(amount + 1) + state[offset : offset + keep * LARGEST]
    else:
        piece{number} = state[offset : offset + keep * LARGEST]
        if amount >= READ_LARGEST[1](state, offset)[0]:
            piece{number} = PACK_LARGEST(amount + 1) + piece{number}[LARGEST:]
    offset += had * LARGEST
"""
_READ_DISTINCT = """\
    distinct{tier}_{steps}_{field} = sum(state[offset : offset + in{tier}_{steps}])
"""
_ADD_DISTINCT = """\
    counts = state[offset : offset + keep]
    hashes = state[offset + had : offset + had + 4 * sum(counts)]
    offset += had + len(hashes) + 4 * (sum(state[offset + keep : offset + had]) if keep < had else 0)
    if is_new:
        counts = b"\\0" + counts
    piece{number} = with_last(counts, hashes, {field}) if {field} else counts + hashes
"""
# `Fraction(total, count)` alone takes 0.8 µs.
_READ_MEAN = """\
    mean{tier}_{steps} = None
    if count{tier}_{steps}:
        mean{tier}_{steps} = new(Fraction)
        divisor = gcd(total{tier}_{steps}, count{tier}_{steps})
        mean{tier}_{steps}._numerator = total{tier}_{steps} // divisor
        mean{tier}_{steps}._denominator = count{tier}_{steps} // divisor
"""
_HASH = """\
    value = transaction.{field}
    {field} = b"" if value is None else crc32(value.encode()).to_bytes(4, "little")
"""
_END_TIER = """\
    bits{tier} |= 1
"""
_SEEN = """\
    piece{number} = state[offset : offset + 1 + 4 * state[offset]]
    offset += len(piece{number})
    first_{field} = False
    if {field} and not piece{number}.startswith({field}, 1):
        first_{field} = find(piece{number}[1:], {field}) < 0
        piece{number} = with_value(piece{number}[1:], {field})
"""
_END = """\
    head = PACK_HEAD(PREFIX, at if at > newest else newest{added}{bitmaps})
    return [{values}], join((head, {pieces}))
"""
_CHECK = """\
def is_whole(state):
    _, newest, count, total{bitmaps} = READ_HEAD(state)
    offset = HEAD
"""
_CHECK_TIER = """\
    had = bits{tier}.bit_count()
    offset += had * ({row})
"""
_CHECK_DISTINCT = """\
    its = sum(state[offset : offset + had])
    if its > {most}:
        return False
    offset += had + 4 * its
"""
_CHECK_SEEN = """\
    if state[offset] > {most}:
        return False
    offset += 1 + 4 * state[offset]
"""


_READ = {AMOUNTS: _READ_AMOUNTS, LARGEST: _READ_LARGEST, DISTINCT: _READ_DISTINCT}
_ADD = {AMOUNTS: _ADD_AMOUNT, LARGEST: _ADD_LARGEST, DISTINCT: _ADD_DISTINCT}
_VALUES = {
    "count": "count{tier}_{steps}",
    "sum": "total{tier}_{steps}",
    "mean": "mean{tier}_{steps}",
    "max": "None if largest{tier}_{steps} < 0 else largest{tier}_{steps}",
    "distinct": "distinct{tier}_{steps}_{field}",
    "first_seen": "first_{field}",
    "hours_since_last": "(at - newest) // 3600 if at > newest > 0 else 0 if newest else None",
}


class Generated:
    """The two functions for the states of one form."""

    def __init__(self, form: int, needed: Sequence[Feature]) -> None:
        self._needed, self._parts, self._tiers = needed, parts_of(needed), tiers_of(needed)
        self.prefix = bytes([form, len(self._parts), *(part.code for part in self._parts)])
        """What these states begin with."""
        names = self._names(form)
        code = compile(ast.parse("\n".join([*self._advance(), *self._is_whole()])), "<features>", "exec")
        exec(code, names)  # noqa: S102 - every line of it is written above
        self.advance: Callable[[bytes, Transaction], tuple[list[Value], bytes] | None] = names["advance"]
        """From a state and a transaction to the features and the state with it."""
        self.is_whole: Callable[[bytes], bool] = names["is_whole"]
        """Whether a state has the length that it should."""

    def _names(self, form: int) -> dict[str, Any]:
        count, total = _LETTERS[COUNT_BYTES[form]], _LETTERS[TOTAL_BYTES[form]]
        bitmaps = "".join(_BITMAPS[tier.number] for tier in self._tiers)
        head = struct.Struct(f"<{len(self.prefix)}sQ{count}{total}{bitmaps}")
        row, largest = struct.Struct(f"<{count}{total}"), struct.Struct(f"<{total}")
        longest = max(longest_steps(self._needed).values(), default=0)
        columns = [struct.Struct(f"<{steps}{total}").unpack_from for steps in range(longest + 1)]
        names = {"PREFIX": self.prefix, "HEAD": head.size, "ROW": row.size, "LARGEST": largest.size}
        reading = {"READ_HEAD": head.unpack_from, "READ_ROW": row.unpack_from, "READ_LARGEST": columns}
        packing = {"PACK_HEAD": head.pack, "PACK_ROW": row.pack, "PACK_LARGEST": largest.pack}
        values = {"crc32": crc32, "find": find, "with_last": with_last, "with_value": with_value}
        helpers = {"EPOCH": EPOCH, "number": int.from_bytes, "join": b"".join}
        fractions = {"Fraction": Fraction, "new": object.__new__, "gcd": gcd}
        return {**names, **reading, **packing, **values, **helpers, **fractions}

    def _advance(self) -> Iterator[str]:
        yield self._read_head(_BEGIN)
        for field in sorted({part.field for part in self._parts if part.field}):
            yield _HASH.format(field=field)
        for tier in self._tiers:
            yield from self._tier(tier)
        for number, part in enumerate(self._parts):
            if part.kind == SEEN:
                yield _SEEN.format(number=number, field=part.field)
        values = [_VALUES[one.function].format(**_facts(one)) for one in self._needed]
        pieces = [f"piece{number}" for number in range(len(self._parts))]
        counted = any(part.kind == AMOUNTS for part in self._parts)
        yield _END.format(
            added=", count + 1, total + amount" if counted else ", 0, 0",
            bitmaps="".join(", " + _PACKED_BITS[tier.number] for tier in self._tiers),
            values=", ".join(values),
            pieces="".join(f"{piece}, " for piece in pieces),
        )

    def _read_head(self, template: str) -> str:
        names = "".join(", " + _BITS[tier.number] for tier in self._tiers)
        return template.format(bitmaps=names) + "".join(_WHOLE_BITS[tier.number] for tier in self._tiers)

    def _tier(self, tier: Tier) -> Iterator[str]:
        its = [one for one in self._needed if one.window and tier_of(one.window) == tier.number]
        full = (1 << tier.reach) - 1
        yield _BEGIN_TIER.format(
            tier=tier.number, step=tier.step, full=full, reach=tier.reach, most=tier.most
        )
        for steps in sorted({one.window // tier.step for one in its}):
            yield _IN_WINDOW.format(tier=tier.number, steps=steps, mask=(1 << steps) - 1)
        for number, part in enumerate(self._parts):
            if part.kind != SEEN and part.tier == tier.number:
                mine = [one for one in its if part_of(one) == part]
                yield from sorted({_READ[part.kind].format(**_facts(one)) for one in mine})
                yield from [_READ_MEAN.format(**_facts(one)) for one in mine if one.function == "mean"]
                yield _ADD[part.kind].format(number=number, field=part.field)
        yield _END_TIER.format(tier=tier.number)

    def _is_whole(self) -> Iterator[str]:
        parts = [line for tier in self._tiers for line in self._check(tier)]
        parts += [_CHECK_SEEN.format(most=MOST_VALUES) for part in self._parts if part.kind == SEEN]
        yield self._read_head(_CHECK)
        yield "".join(parts)
        yield "    return offset == len(state)"

    def _check(self, tier: Tier) -> Iterator[str]:
        kinds = [part.kind for part in self._parts if part.tier == tier.number and part.kind != SEEN]
        row = "ROW" * (AMOUNTS in kinds), "LARGEST" * (LARGEST in kinds)
        yield _CHECK_TIER.format(tier=tier.number, row=" + ".join(filter(None, row)) or "0")
        for _ in range(kinds.count(DISTINCT)):
            yield _CHECK_DISTINCT.format(most=MOST_VALUES)


def _facts(feature: Feature) -> dict[str, Any]:
    """What templates may name."""
    tier = tier_of(feature.window)
    return {"tier": tier, "steps": feature.window // STEPS[tier], "field": feature.field}
