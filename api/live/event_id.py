"""Where a live feed stands: the next offset of every partition, as the `id:` of its events.

The text is `v1.incarnation.partition-offset.partition-offset…`, e.g. `v1.1f0c9a3e.0-15.1-7.2-0.3-99`; of
before there were formats, it is without `v1.`.
The incarnation stands for this topic on this cluster: an id of a cluster or a topic that was replaced is not
taken for a position in the new one, which may have grown past it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

_FORMAT = "v1."
_TEXT = re.compile(r"(v1\.)?(?P<incarnation>[0-9a-f]{8})(?P<offsets>(\.[0-9]{1,6}-[0-9]{1,18})+)", re.ASCII)
_OF_LATER_FORMAT = re.compile(r"v([2-9]|[1-9][0-9]{1,2})\.[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class EventId:
    """The next offset to read of every partition, of one incarnation of a topic."""

    incarnation: str
    offsets: Mapping[int, int]

    def __str__(self) -> str:
        return text_of(self.incarnation, self.offsets)


EARLIEST = EventId("", {})
"""Where the topic begins, wherever that is."""
LATER_FORMAT = EventId("later format", {})
"""What an id stands for that a later version gave: it is known to be one, and not what it says."""


class Missing(msgspec.Struct, frozen=True):
    """Records of one partition that cannot be sent: offsets `first` up to and without `until`."""

    partition: int
    first: int
    until: int
    reason: str


def text_of(incarnation: str, offsets: Mapping[int, int]) -> str:
    """The id of an event after which these offsets are next."""
    return (
        _FORMAT + incarnation + "".join([f".{partition}-{offset}" for partition, offset in offsets.items()])
    )


def parse(text: str) -> EventId:
    """Read an id back, or the word `earliest`.

    One of a later format is a gap for who has it, when the service went back to this version: refused, many
    clients would never come again.

    Raises:
        ValueError: It is neither.

    >>> parse("v1.1f0c9a3e.0-15.1-7").offsets
    {0: 15, 1: 7}
    """
    if text == "earliest":
        return EARLIEST
    if _OF_LATER_FORMAT.fullmatch(text):
        return LATER_FORMAT
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("is not an event id of this service")
    pairs = [part.split("-") for part in match["offsets"].split(".")[1:]]
    offsets = {int(partition): int(offset) for partition, offset in pairs}
    if len(offsets) != len(pairs):
        raise ValueError("is not an event id of this service: it names a partition twice")
    return EventId(match["incarnation"], offsets)


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
    return sum(max(0, offset - point.offsets.get(p, 0)) for p, offset in other.offsets.items())
