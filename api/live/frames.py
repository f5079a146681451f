"""Server-sent events: how frames look on the wire.

Many clients take an id only from an event with data, and some parse the data of every event. So openings and
heartbeats are events of their own, named `position`, whose data is `{}`: who has seen no row, or none for
long, comes back to where it was. No frame is a comment: a blank line after one is an event without data to
some clients.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from api.web.route import one_line

_PIECE_BYTES = 1 << 16


def event(row: bytes, position: str) -> bytes:
    """The frame of a row, after which a client stands at this position."""
    row = one_line(row)
    if b"\n" in row or b"\r" in row:  # another producer's JSON; ours has no line ends
        row = b"\ndata: ".join(row.splitlines())
    return b"id: %b\ndata: %b\n\n" % (position.encode(), row)


def named_event(name: str, data: Any, position: str) -> bytes:
    """The frame of an event that is not a row."""
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), position.encode(), msgspec.json.encode(data))


def heartbeat(position: str) -> bytes:
    """The position that the client has reached."""
    return b"event: position\nid: %b\ndata: {}\n\n" % position.encode()


def opening(position: str, retry_milliseconds: int) -> bytes:
    """The first frame: when to come back, and where the stream starts."""
    return b"retry: %d\n%b" % (retry_milliseconds, heartbeat(position))


def farewell(retry_milliseconds: int, why: str) -> bytes:
    """The last lines of a stream that the server ends: when to come back. The client keeps its place.

    No blank line follows, so that no client takes them for an event without an id or data.
    """
    return b": %b\nretry: %d\n" % (why.encode(), retry_milliseconds)


def pieces(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer and larger writes."""
    gathered: list[bytes] = []
    size = 0
    for frame in frames:
        gathered.append(frame)
        size += len(frame)
        if size >= _PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def jittered(retry_milliseconds: int) -> int:
    """Up to twice the time, so that clients cut off together do not come back together."""
    return round(retry_milliseconds * random.uniform(1, 2))  # noqa: S311 - not a secret
