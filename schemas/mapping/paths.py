"""Where in a record a value is: names with points between them, as `payload.amount.value`."""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, object]
Getter: TypeAlias = Callable[[Record], Any]

_PART = re.compile(r'"([^"]+)"|([^".]+)')
_DEEPEST = 20


def parts_of(path: str) -> tuple[str, ...]:
    """The names of a path; one that has a point itself stands in quotes.

    Raises:
        ValueError: It is no such path.

    >>> parts_of('payload."net.amount".0'), parts_of("Gross Debit (GC)")
    (('payload', 'net.amount', '0'), ('Gross Debit (GC)',))
    """
    if path == "?":
        raise ValueError('a "?" has to be decided: say the name of the value')
    parts, at = [], 0
    while (found := _PART.match(path, at)) is not None:
        parts.append(found[1] or found[2])
        at = found.end() + 1
        if path[found.end() : at] != ".":
            break
    if at != len(path) + 1 or len(parts) > _DEEPEST:
        raise ValueError(
            f"{path[:60]!r} is no name such as amount or payload.amount; one that has a point itself "
            """stands in quotes of its own, as '"net.amount"'"""
        )
    return tuple(parts)


def path_of(name: str) -> str:
    """The path of a name at the top of records.

    >>> path_of("net.amount"), path_of("amount")
    ('"net.amount"', 'amount')
    """
    return f'"{name}"' if "." in name else name


def getter(path: str) -> Getter:
    """What finds the value of a path in a record; None where it is not there."""
    first, *others = parts_of(path)
    found = methodcaller("get", first)
    if not others:
        return found

    def value(record: Record) -> object:
        inner = found(record)
        for part in others:
            inner = _inside(inner, part)
        return inner

    return value


def values_of(path: str) -> Callable[[Sequence[Record]], list[Any]]:
    """What finds the values of a path in many records."""
    (first, *others), get = parts_of(path), getter(path)
    if others:
        return lambda records: [get(record) for record in records]
    return lambda records: [record.get(first) for record in records]


def _inside(value: object, part: str) -> object:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return None
