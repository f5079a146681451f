"""What sources have as values, as text: cells of tables, and what JSON, Avro, Parquet and sheets hold."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

EMPTY: Final = frozenset(["", "null", "nan", "none", "n/a", "<na>", "\\n"])
"""What databases and data frames write for nothing, in any case."""
_LONGEST_EMPTY = max(map(len, EMPTY))


def cell_of(text: str) -> str:
    """A cell's text; nothing for what databases and data frames write for nothing."""
    text = text.strip()
    return "" if len(text) <= _LONGEST_EMPTY and text.lower() in EMPTY else text


def text_of(value: object) -> str:
    """A value as text, empty for nothing: the same for a number in a table, in JSON and in Avro.

    Raises:
        ValueError: It is no text: a list, an object, or bytes that are not UTF-8.

    >>> [text_of(value) for value in (" C17 ", 17, 17.0, Decimal("17.50"), "NULL", True)]
    ['C17', '17', '17', '17.50', '', 'true']
    """
    read = _TEXTS.get(type(value))
    return read(value) if read is not None else _other(value)


def _of_number(value: object) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    return cell_of(text.removesuffix(".0"))


# By type, as a chain of `isinstance` takes three times as long.
_TEXTS: Mapping[type, Callable[[Any], str]] = {
    str: cell_of,
    type(None): lambda _: "",
    bool: lambda value: "true" if value else "false",
    int: str,
    UUID: str,
    float: _of_number,
    Decimal: _of_number,
    bytes: lambda value: cell_of(value.decode()),
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
}


def _other(value: object) -> str:
    """The text of what is of a type that is derived from one of those."""
    for kind, read in _TEXTS.items():
        if isinstance(value, kind):
            return read(value)
    raise ValueError(f"{'an object' if isinstance(value, dict) else f'a {type(value).__name__}'}, not a text")
