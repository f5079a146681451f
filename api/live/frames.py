"""Server-sent events: how frames look on the wire.

An `id:` without data moves a client's Last-Event-ID and nothing else. Openings and heartbeats have one, so
that a client that has seen no event, or none for long, comes back to where it was.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

_PIECE_BYTES = 1 << 16


def event(row: bytes, position: str) -> bytes:
    """The frame of a row, after which a client stands at this position."""
    if b"\n" in row or b"\r" in row:  # another producer's JSON; ours has no line ends
        row = b"\ndata: ".join(row.splitlines())
    return b"id: %b\ndata: %b\n\n" % (position.encode(), row)


def named_event(name: str, data: Any, position: str) -> bytes:
    """The frame of an event that is not a row."""
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), position.encode(), msgspec.json.encode(data))


def heartbeat(position: str) -> bytes:
    """A comment, and the position that the client has reached."""
    return b": heartbeat\nid: %b\n\n" % position.encode()


def opening(position: str, retry_milliseconds: int) -> bytes:
    """The first frame: a comment, when to come back, and where the stream starts."""
    return b": txnwatch\nretry: %d\nid: %b\n\n" % (retry_milliseconds, position.encode())


def farewell(retry_milliseconds: int, why: str) -> bytes:
    """The last frame of a stream that the server ends: when to come back. The client keeps its place."""
    return b": %b\nretry: %d\n\n" % (why.encode(), retry_milliseconds)


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
