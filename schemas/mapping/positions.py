"""Where in a TOML text each of its keys is, for messages."""

import re
from collections.abc import Iterator, Mapping

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_KEYS})[ \t]*\]")
_ASSIGNED = re.compile(rf"[ \t]*({_KEYS})[ \t]*=[ \t]*")
_INLINE = re.compile(rf"[{{,][ \t]*({_KEYS})[ \t]*=[ \t]*")
_ONE_KEY = re.compile(_KEY)
_LINE = re.compile(r"[^\n]+")
Path = tuple[str, ...]


def positions(text: str) -> Mapping[Path, int]:
    r"""The character at which each table's header and each key begins; of several of a name by number.

    >>> positions('[id]\nfrom = "x"\n[[only]]\nfrom = "y"')[("only", "0", "from")]
    25
    """
    found: dict[Path, int] = {}
    table: Path = ()
    for line in _LINE.finditer(text):
        if header := _HEADER.match(text, line.start(), line.end()):
            table = _table(header, found)
            found.setdefault(table, header.start(2))
        elif key := _ASSIGNED.match(text, line.start(), line.end()):
            for path, at in _keys(text, key, line.end()):
                found.setdefault(table + path, at)
    return found


def _table(header: re.Match[str], found: Mapping[Path, int]) -> Path:
    path = _parts(header[2])
    if header[1] == "[":
        return path
    return (*path, str(sum(len(known) == len(path) + 1 and known[:-1] == path for known in found)))


def _keys(text: str, key: re.Match[str], end: int) -> Iterator[tuple[Path, int]]:
    path = _parts(key[1])
    yield path, key.start(1)
    for inner in _INLINE.finditer(text, key.end(), end):
        yield path + _parts(inner[1]), inner.start(1)


def _parts(keys: str) -> Path:
    return tuple(part.strip("\"'") for part in _ONE_KEY.findall(keys))


def nearest(found: Mapping[Path, int], path: Path) -> int | None:
    """Where the path is, or the part of it that there is; None where there is none."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path)
