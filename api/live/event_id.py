"""Where a live feed stands: the next offset of every partition, as the `id:` of its events.

The text is `v2.` and base64url of: the incarnation, the number of partitions, a width in bits, a base offset,
and for each partition its offset minus the base, in that width, the last partition first. 200 partitions take
some 300 characters, and an id that differs in one offset is made by one addition.

In `v1.` it was `incarnation.partition-offset.partition-offset…`, e.g. `v1.1f0c9a3e.0-15.1-7.2-0.3-99`; of
before there were formats, it is without `v1.`. Those are still taken.

The incarnation stands for this topic on this cluster: an id of a cluster or a topic that was replaced is not
taken for a position in the new one, which may have grown past it.
"""

import base64
import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

_FORMAT = "v2."
_TEXT = re.compile(r"v2\.(?P<packed>([A-Za-z0-9_-]{4})+)", re.ASCII)
_OF_LATER_FORMAT = re.compile(r"v([3-9]|[1-9][0-9]{1,2})\.[!-~]+", re.ASCII)
_FORMER = re.compile(r"(v1\.)?(?P<incarnation>[0-9a-f]{8})(?P<offsets>(\.[0-9]{1,6}-[0-9]{1,18})+)", re.ASCII)
_HEAD = struct.Struct(">4sHBQ")
"""Incarnation, partitions, bits of each, base: 15 bytes, which are 20 characters, whatever follows."""
_LEAST_BITS, _MOST_BITS = 8, 63
"""With fewer than the least, a feed of few partitions would have another base every other record."""


@dataclass(frozen=True, slots=True)
class EventId:
    """The next offset to read of every partition, of one incarnation of a topic."""

    incarnation: str
    offsets: Mapping[int, int]

    def __str__(self) -> str:
        return Position(self).text


EARLIEST = EventId("", {})
"""Where the topic begins, wherever that is."""
LATER_FORMAT = EventId("later format", {})
"""What an id stands for that a later version gave: it is known to be one, and not what it says."""


class Position:
    """An id that moves on: its text after each record costs a microsecond, for 200 partitions too."""

    __slots__ = ("_base", "_bits", "_bytes", "_head", "_packed", "incarnation", "offsets")

    def __init__(self, start: EventId) -> None:
        self.incarnation = start.incarnation
        self.offsets = dict(start.offsets)
        self._lay_out()

    @property
    def event_id(self) -> EventId:
        """Where it is now."""
        return EventId(self.incarnation, dict(self.offsets))

    @property
    def text(self) -> str:
        """The id as clients have it."""
        return self._head + _base64(self._packed.to_bytes(self._bytes, "big"))

    def move(self, partition: int, offset: int) -> None:
        """Have this offset next in the partition."""
        step = offset - self.offsets[partition]
        self.offsets[partition] = offset
        if 0 <= offset - self._base < 1 << self._bits:
            self._packed += step << self._bits * partition
        else:
            self._lay_out()

    def _lay_out(self) -> None:
        """Choose a base, and as many bits as last for a while."""
        values = [self.offsets[partition] for partition in range(len(self.offsets))]
        self._base = min(values, default=0)
        self._bits = min(max((max(values, default=0) - self._base).bit_length() + 1, _LEAST_BITS), _MOST_BITS)
        self._packed = sum(value - self._base << self._bits * at for at, value in enumerate(values))
        self._bytes = _packed_bytes(len(values), self._bits)
        head = _HEAD.pack(bytes.fromhex(self.incarnation), len(values), self._bits, self._base)
        self._head = _FORMAT + _base64(head)


class Missing(msgspec.Struct, frozen=True):
    """Records of one partition that cannot be sent: offsets `first` up to and without `until`."""

    partition: int
    first: int
    until: int
    reason: str


def parse(text: str) -> EventId:
    """Read an id back, or the word `earliest`.

    One of a later format is a gap for who has it, when the service went back to this version: refused, many
    clients would never come again.

    Raises:
        ValueError: It is neither.

    >>> parse(str(EventId("1f0c9a3e", {0: 15, 1: 7}))) == parse("v1.1f0c9a3e.0-15.1-7")
    True
    """
    if text == "earliest":
        return EARLIEST
    if _OF_LATER_FORMAT.fullmatch(text):
        return LATER_FORMAT
    if match := _TEXT.fullmatch(text):
        return _unpack(base64.urlsafe_b64decode(match["packed"]))
    if match := _FORMER.fullmatch(text):
        return _parse_former(match)
    raise ValueError("is not an event id of this service")


def _unpack(data: bytes) -> EventId:
    if len(data) < _HEAD.size:
        raise ValueError("is not an event id of this service: it is cut short")
    incarnation, count, bits, base = _HEAD.unpack_from(data)
    packed = int.from_bytes(data[_HEAD.size :], "big")
    if len(data) != _HEAD.size + _packed_bytes(count, bits) or packed >> bits * count:
        raise ValueError("is not an event id of this service: it is cut short, or longer than it was")
    each = (1 << bits) - 1
    offsets = {number: base + (packed >> bits * number & each) for number in range(count)}
    return EventId(incarnation.hex(), offsets)


def _parse_former(match: re.Match[str]) -> EventId:
    pairs = [part.split("-") for part in match["offsets"].split(".")[1:]]
    offsets = {int(partition): int(offset) for partition, offset in pairs}
    if len(offsets) != len(pairs):
        raise ValueError("is not an event id of this service: it names a partition twice")
    return EventId(match["incarnation"], offsets)


def _packed_bytes(count: int, bits: int) -> int:
    """A multiple of three, which base64 has without padding."""
    return -(-count * bits // 24) * 3


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def incarnation_of(cluster_id: str, topic: str, topic_id: str) -> str:
    """Eight hexadecimal digits that stand for this topic on this cluster, and no later one of its name."""
    return hashlib.sha256(f"{cluster_id}/{topic}/{topic_id}".encode()).hexdigest()[:8]


def former_incarnation_of(cluster_id: str, topic: str) -> str:
    """What event ids had until topics' ids were known: clients come back with them after the upgrade."""
    return hashlib.sha256(f"{cluster_id}/{topic}".encode()).hexdigest()[:8]


def settle(
    asked: EventId,
    incarnation: str,
    beginnings: Mapping[int, int],
    ends: Mapping[int, int],
    *,
    former: str = "",
) -> tuple[EventId, list[Missing]]:
    """Where reading can go on from `asked`, and what is missing before that.

    A partition that is not in `asked` was added later and is read from its beginning. Where offsets
    expired, those up to the beginning are missing. Offsets beyond the end are of a topic that was
    made again: the client may have seen none of its records, so all of them count as missing.
    `former` is how ids of before an upgrade name the same topic.

    >>> point, missing = settle(EventId("aa", {0: 5}), "aa", {0: 9}, {0: 20})
    >>> point.offsets, missing
    ({0: 9}, [Missing(partition=0, first=5, until=9, reason='expired')])
    """
    if asked.incarnation not in (incarnation, former):
        reason = "later format" if asked == LATER_FORMAT else "other topic"
        missing = [Missing(p, beginnings[p], ends[p], reason) for p in ends]
        return EventId(incarnation, dict(ends)), missing
    offsets, missing = {}, []
    for partition, end in ends.items():
        beginning = beginnings[partition]
        offset = asked.offsets.get(partition, beginning)
        if offset > end:
            missing.append(Missing(partition, beginning, end, "beyond the end"))
            offset = end
        elif offset < beginning:
            missing.append(Missing(partition, offset, beginning, "expired"))
            offset = beginning
        offsets[partition] = offset
    return EventId(incarnation, offsets), missing


def behind(point: EventId, other: EventId) -> int:
    """How many offsets `other` is ahead of `point`, over all partitions that it is ahead in."""
    at = point.offsets.get
    return sum([offset - here for p, offset in other.offsets.items() if offset > (here := at(p, 0))])
