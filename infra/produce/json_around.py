"""One JSON object around an array of those that are wanted: `{"data": [{…}, {…}], "count": 2}`."""

import io
import json
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from infra.produce.compression import chosen_part
from infra.produce.errors import DamagedInputError, InputError
from infra.produce.json_values import JsonText
from infra.produce.layout import IsHeader


class _Outline(NamedTuple):
    """What the beginning of an object shows of it."""

    names: list[str]
    arrays: list[str]
    """Those of the names that have an array of objects."""
    is_whole: bool
    """Whether the object ends there."""
    followed: bool
    """Whether something comes after it."""


def _outline(head: bytes) -> _Outline:
    """The outline of what begins so, if that is an object."""
    text, names, arrays = JsonText(io.BufferedReader(io.BytesIO(head)), len(head)), list[str](), list[str]()
    try:
        for name in _members(text):
            names.append(name)
            if _is_of_objects(text):
                arrays.append(name)
                _pass(text)
        return _Outline(names, arrays, is_whole=bool(names), followed=bool(text.following()))
    except DamagedInputError:  # it goes on
        return _Outline(names, arrays, is_whole=False, followed=False)


def array_around(head: bytes, part: str | None, is_header: IsHeader) -> str | None:
    """The name of the array whose objects are wanted of a file that begins so; None of other files.

    An object whose names are those that are looked for is a record itself, whatever else it has.

    Raises:
        PartError: There are several.
    """
    found = _outline(head)
    if found.followed or not found.arrays or (part is None and is_header(found.names)):
        return None
    if part is not None and not found.is_whole:
        return part  # it may come later
    return chosen_part("array", found.arrays, part)


def enclosed_lines(stream: io.BufferedReader, longest: int, wanted: str, *, told: bool) -> Iterator[bytes]:
    """Each object of the array that is wanted, in a line; in memory is one, of `longest` characters at most.

    Raises:
        DamagedInputError: What follows is no JSON, or longer than that.
        InputError: There is no such array; or another one, unless a person has told which.
    """
    text, found = JsonText(stream, longest), False
    for name in _members(text):
        if not _is_of_objects(text):
            continue
        if name == wanted:
            yield from text.lines()
            found = True
        elif not told:
            raise InputError(f"it has several arrays: say which with --part, of {wanted}, {name}")
        _pass(text)
    if not found:
        raise InputError(f"it has no array {wanted}")
    if text.following():
        raise text.damaged()


def _members(text: JsonText) -> Iterator[str]:
    """The names of an object; who has one takes its value."""
    if not text.takes("{"):
        raise text.damaged()
    while not text.takes("}"):
        name = text.value()
        if not name.startswith('"') or not text.takes(":"):
            raise text.damaged()
        yield json.loads(name)


def _is_of_objects(text: JsonText) -> bool:
    """Whether an array of objects is next: then its bracket is taken, and else the whole value."""
    if not text.takes("["):
        text.value()
        return False
    if text.following().startswith("{"):
        return True
    _pass(text)
    return False


def _pass(text: JsonText) -> None:
    """Take what is left of an array."""
    deque(text.lines(), maxlen=0)
    if not text.takes("]"):
        raise text.damaged()
