"""What detectors keep of a user and currency, as it stands behind the window: each state under a tag.

The tag stands for the detector and the version of its state. A state alone is its tag and its bytes; several
come after a tag of their own, each with its length.
"""

import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from stream_app.scoring.detector import StateFormat

_PART = struct.Struct("<4sH")
_TAG_BYTES = 4
PAST = "what rules ask for"
"""Whose state features of rules are, in the place of a detector's name."""
MOST_BYTES = 4096
"""How many bytes a state may have: there is one for each detector, user and currency."""


def _tag(name: str) -> bytes:
    return crc32(name.encode()).to_bytes(_TAG_BYTES, "little")


_SEVERAL = _tag("several states, each with its length")


class Kept:
    """The state of one detector as bytes."""

    def __init__(self, name: str, form: StateFormat[Any]) -> None:
        self.tag = _tag(f"{name}/{form.version}")
        self._form = form
        self._decode, self._encode = form.decode, form.encode

    def read_alone(self, data: bytes) -> tuple[Any, bool]:
        """The state where there is no other detector, and whether there were bytes that could not be read."""
        if not data.startswith(self.tag):
            parts = parts_of(data)
            return self.read(parts), bool(parts)
        try:
            return self._decode(data[_TAG_BYTES:]), False
        except Exception:  # noqa: BLE001 - damaged bytes: what they raise is the detector's affair
            return self._form.fresh, True

    def read(self, parts: dict[bytes, bytes]) -> Any:
        """Take the state out of these parts; what cannot be read stays there, and the state is fresh."""
        if (data := parts.get(self.tag)) is None:
            return self._form.fresh
        try:
            state = self._decode(data)
        except Exception:  # noqa: BLE001 - damaged bytes: what they raise is the detector's affair
            return self._form.fresh
        del parts[self.tag]
        return state

    def pack(self, state: Any) -> bytes:
        """The state's tag and bytes.

        Raises:
            ValueError: They are too many.
        """
        data = self._encode(state)
        if len(data) > MOST_BYTES:
            raise ValueError(f"its state has {len(data)} bytes, of {MOST_BYTES} that it may have")
        return self.tag + data


def kept_of(detectors: Sequence[tuple[str, StateFormat[Any] | None]]) -> dict[int, Kept]:
    """The states of detectors that run together, by their places."""
    names, kept = {name for name, _ in detectors}, dict[int, Kept]()
    for at, (name, form) in enumerate(detectors):
        if form:
            kept[at] = Kept(form.of if form.of and form.of not in names else name, form)
            names.add(form.of)
    return kept


def parts_of(data: bytes) -> dict[bytes, bytes]:
    """The states by their tags; damaged ones are under none that a detector has."""
    if not data.startswith(_SEVERAL):
        return {data[:_TAG_BYTES]: data[_TAG_BYTES:]} if data else {}
    parts, at = {}, _TAG_BYTES
    while at < len(data):
        start = at + _PART.size
        tag, length = _PART.unpack_from(data, at) if start <= len(data) else (b"", 0)
        at = start + length
        parts[tag if at <= len(data) else b""] = data[start:at]
    return parts


def joined(parts: Sequence[bytes]) -> bytes:
    """States with their tags as `parts_of` takes them.

    >>> one, other = b"aaaa1", b"bbbb22"
    >>> parts_of(joined([one])), parts_of(joined([one, other])), parts_of(joined([]))
    ({b'aaaa': b'1'}, {b'aaaa': b'1', b'bbbb': b'22'}, {})
    >>> parts_of(joined([one, other])[:-1])
    {b'aaaa': b'1', b'': b'2'}
    """
    if len(parts) <= 1:
        return b"".join(parts)
    each = [_PART.pack(part[:_TAG_BYTES], len(part) - _TAG_BYTES) + part[_TAG_BYTES:] for part in parts]
    return b"".join([_SEVERAL, *each])
